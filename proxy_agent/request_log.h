// RequestLog: what a worker says in its log about single requests and connections that it refused
// or could not forward, within a budget that no caller can exceed.
//
// The caller learns nothing of it: it gets a status and a decision id.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/log.h"
#include "proxy_agent/limits.h"

namespace countersign::proxy {

struct WorkerMetrics;

// RequestLog belongs to one worker.
class RequestLog {
 public:
  RequestLog(const ProxyLimits& limits, WorkerMetrics& metrics)
      : limits_(limits), metrics_(metrics) {}

  // May takes one line of `peer`'s (PeerName) from the budget. Ask it before the fields are made.
  bool May(std::string_view peer, MonotonicTime now);
  // Write writes the line that May granted; the last one of a caller's minute says that it is.
  void Write(std::string_view message, std::initializer_list<LogField> fields) const;

  // Excerpt is as much of a caller's text as a line holds; the log escapes it.
  static std::string Excerpt(std::string_view text);

 private:
  const ProxyLimits& limits_;
  WorkerMetrics& metrics_;
  MonotonicTime minute_began_ = MonotonicTime::min();
  size_t lines_ = 0;
  bool last_ = false;                              // Of the line that May granted.
  std::unordered_map<std::string, size_t> spent_;  // At most as many as lines.
};

}  // namespace countersign::proxy
