#include "base/log_budget.h"

#include <gtest/gtest.h>

namespace countersign {
namespace {

TEST(LogBudgetTest, StopsOneUserAndNoOtherUntilTheMinuteIsOver) {
  FakeClock clock{WallTime()};
  LogBudget budget(2, clock);
  EXPECT_EQ(budget.Take(1), LogBudget::Verdict::kWrite);
  EXPECT_EQ(budget.Take(1), LogBudget::Verdict::kWriteAndSayLast);
  EXPECT_EQ(budget.Take(1), LogBudget::Verdict::kSkip);
  EXPECT_EQ(budget.Take(2), LogBudget::Verdict::kWrite);
  clock.Advance(std::chrono::minutes(1));
  EXPECT_EQ(budget.Take(1), LogBudget::Verdict::kWrite);
}

}  // namespace
}  // namespace countersign
