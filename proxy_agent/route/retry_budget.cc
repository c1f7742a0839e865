#include "proxy_agent/route/retry_budget.h"

#include <algorithm>

namespace countersign::proxy {

void RetryBudget::Forget(MonotonicTime now) {
  const int64_t second =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  const int64_t gone = std::min<int64_t>(second - newest_, kSeconds);
  for (int64_t i = 1; i <= gone; ++i) {
    Second& old = seconds_[static_cast<size_t>((newest_ + i) % static_cast<int64_t>(kSeconds))];
    sum_.requests -= old.requests;
    sum_.retries -= old.retries;
    old = Second();
  }
  newest_ = std::max(newest_, second);
}

void RetryBudget::OnRequest(MonotonicTime now) {
  Forget(now);
  ++seconds_[static_cast<size_t>(newest_) % kSeconds].requests;
  ++sum_.requests;
}

bool RetryBudget::TryRetry(MonotonicTime now) {
  Forget(now);
  const uint64_t allowed =
      std::max<uint64_t>(limits_.retries_min, sum_.requests * limits_.percent / 100);
  if (limits_.percent == 0 || sum_.retries >= allowed) {
    return false;
  }
  ++seconds_[static_cast<size_t>(newest_) % kSeconds].retries;
  ++sum_.retries;
  return true;
}

}  // namespace countersign::proxy
