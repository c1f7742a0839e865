// One log line a decision, under a budget.
#pragma once

#include <array>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace countersign::pdp {

// DecisionLog writes decisions as events of the program's log. Denials and allows have budgets of
// their own; what is left out is counted in the next line that is written. Safe for any thread.
class DecisionLog {
 public:
  DecisionLog(size_t lines_per_second_max, const Clock& clock)
      : lines_per_second_max_(lines_per_second_max), clock_(clock) {}

  // Line borrows what it shows. Never a header, a query or a body.
  struct Line {
    std::string_view id;
    std::string_view door;
    std::string_view effect;
    std::string_view reason;
    std::string_view rule;
    std::string_view detail;
    std::string_view caller;
    std::string_view callee;
    std::string_view method;
    std::string_view path;
    std::string_view would_be;
    bool allowed = false;
  };
  void Write(const Line& line);
  // left_out counts the lines that the budget kept back.
  uint64_t left_out() const;

 private:
  struct Budget {
    MonotonicTime second_began{};
    size_t lines = 0;
    uint64_t left_out_since = 0;
  };
  const size_t lines_per_second_max_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::array<Budget, 2> budgets_;  // Denials, allows. Guarded by mutex_, as what follows.
  uint64_t left_out_ = 0;
};

}  // namespace countersign::pdp
