// RetryBudget keeps retries from becoming the load that keeps an upstream down.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace countersign::proxy {

// RetryBudgetLimits says how much a service may be retried.
struct RetryBudgetLimits {
  uint32_t percent = 20;      // Retries per 100 requests of the last ten seconds; 0: none at all.
  uint32_t retries_min = 10;  // In ten seconds, whatever the traffic: at low rates a percentage
                              // rounds to nothing.
};

// RetryBudget counts requests and retries of the last ten seconds, in whole seconds. Belongs to one
// worker's thread; time comes in by parameter and never goes back.
class RetryBudget {
 public:
  explicit RetryBudget(RetryBudgetLimits limits) : limits_(limits) {}

  // OnRequest counts a first attempt.
  void OnRequest(MonotonicTime now);
  // TryRetry takes one retry from the budget, or refuses.
  bool TryRetry(MonotonicTime now);

 private:
  static constexpr size_t kSeconds = 10;
  struct Second {
    uint64_t requests = 0;
    uint64_t retries = 0;
  };

  void Forget(MonotonicTime now);

  RetryBudgetLimits limits_;
  std::array<Second, kSeconds> seconds_ = {};
  Second sum_;
  int64_t newest_ = 0;  // The second that seconds_[newest_ % kSeconds] counts.
};

}  // namespace countersign::proxy
