// What each proxy on this node says of itself, for the report to the server.
#pragma once

#include <functional>
#include <map>
#include <mutex>

#include "countersign/v1/node.pb.h"

namespace countersign::agent {

// What the server takes in one report; over it, it ends the stream of the whole node.
struct ProxyReportLimits {
  static constexpr int kProxiesMax = 1024;
  static constexpr size_t kBytesMax = 2 << 20;  // The server reads messages of 4 MiB.
  static constexpr int kDigestsMax = 1024;      // Of one proxy.
  static constexpr size_t kDigestTextBytesMax = 512;
};

// ProxyTable has one entry an open ProxyConfig stream. Safe for any thread.
class ProxyTable {
 public:
  // `on_change` is called on the changing thread, without a lock.
  explicit ProxyTable(std::function<void()> on_change) : on_change_(std::move(on_change)) {}

  void Set(const void* stream, const v1::ProxyStatus& status);
  void Remove(const void* stream);
  // Report leaves out the proxies that are over the limits, so that none can cut off the others.
  v1::ProxyReport Report() const;

 private:
  const std::function<void()> on_change_;
  mutable std::mutex mutex_;
  std::map<const void*, v1::ProxyStatus> entries_;  // Guarded by mutex_.
};

}  // namespace countersign::agent
