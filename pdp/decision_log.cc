#include "pdp/decision_log.h"

#include "base/log.h"

namespace countersign::pdp {

void DecisionLog::Write(const Line& line) {
  uint64_t left_out = 0;
  {
    std::lock_guard lock(mutex_);
    Budget& budget = budgets_[line.allowed ? 1 : 0];
    const MonotonicTime now = clock_.Monotonic();
    if (now - budget.second_began >= std::chrono::seconds(1)) {
      budget.second_began = now;
      budget.lines = 0;
    }
    if (budget.lines >= lines_per_second_max_) {
      ++budget.left_out_since;
      ++left_out_;
      return;
    }
    ++budget.lines;
    left_out = std::exchange(budget.left_out_since, 0);
  }
  LogInfo("decision", {{"id", line.id},
                       {"door", line.door},
                       {"effect", line.effect},
                       {"reason", line.reason},
                       {"rule", line.rule},
                       {"detail", line.detail},
                       {"caller", line.caller},
                       {"callee", line.callee},
                       {"method", line.method},
                       {"path", line.path},
                       {"would_be", line.would_be},
                       {"left_out_before", left_out}});
}

uint64_t DecisionLog::left_out() const {
  std::lock_guard lock(mutex_);
  return left_out_;
}

}  // namespace countersign::pdp
