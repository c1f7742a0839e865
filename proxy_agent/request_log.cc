#include "proxy_agent/request_log.h"

#include "proxy_agent/metrics.h"

namespace countersign::proxy {

bool RequestLog::May(std::string_view peer, MonotonicTime now) {
  if (lines_ == 0 || now - minute_began_ >= std::chrono::minutes(1)) {
    minute_began_ = now;
    lines_ = 0;
    spent_.clear();
  }
  if (lines_ >= limits_.log_lines_max) {
    metrics_.Reached(Limit::kLogLines);
    return false;
  }
  size_t& spent = spent_[std::string(peer)];
  if (spent >= limits_.log_lines_per_peer_max) {
    metrics_.Reached(Limit::kLogLines);
    return false;
  }
  ++lines_;
  ++spent;
  last_ = spent == limits_.log_lines_per_peer_max || lines_ == limits_.log_lines_max;
  return true;
}

void RequestLog::Write(std::string_view message, std::initializer_list<LogField> fields) const {
  if (last_) {
    LogWarning(Concat(message, " (the log's budget for this minute is spent)"), fields);
  } else {
    LogWarning(message, fields);
  }
}

std::string RequestLog::Excerpt(std::string_view text) {
  constexpr size_t kBytesMax = 160;  // A path that a person reads; a token is behind its '?'.
  const std::string_view path = text.substr(0, text.find('?'));
  return path.size() <= kBytesMax ? std::string(path) : Concat(path.substr(0, kBytesMax), "...");
}

}  // namespace countersign::proxy
