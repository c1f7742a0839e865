// Retries: when, never when, and how many.
#include <gtest/gtest.h>

#include "proxy_agent/route/retry_budget.h"
#include "proxy_agent/route/retry_policy.h"

namespace countersign::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

authz::RouteRetry Everything() {
  authz::RouteRetry retry;
  retry.connect_failure = true;
  retry.refused_stream = true;
  retry.reset = true;
  retry.statuses = {502, 503, 504};
  retry.tries = 3;
  return retry;
}

struct RetryRow {
  std::string name;
  std::string method;
  AttemptOutcome outcome;
  RetryVerdict verdict;
};
void PrintTo(const RetryRow& row, std::ostream* out) { *out << row.name; }

class RetryPolicyTest : public testing::TestWithParam<RetryRow> {};

TEST_P(RetryPolicyTest, JudgesByWhatIsKnown) {
  const RetryRow& row = GetParam();
  EXPECT_EQ(RetryVerdictName(RetryPolicy(Everything()).Judge(row.method, row.outcome)),
            RetryVerdictName(row.verdict));
}

AttemptOutcome Unsent(AttemptFailure failure) {
  AttemptOutcome outcome;
  outcome.failure = failure;
  return outcome;
}
AttemptOutcome Sent(AttemptFailure failure, uint16_t status = 0) {
  AttemptOutcome outcome;
  outcome.failure = failure;
  outcome.status = status;
  outcome.bytes_sent = true;
  return outcome;
}
AttemptOutcome WithoutBody(AttemptOutcome outcome) {
  outcome.body_available = false;
  return outcome;
}
AttemptOutcome Forwarded(AttemptOutcome outcome) {
  outcome.response_forwarded = true;
  return outcome;
}
AttemptOutcome Tries(AttemptOutcome outcome, uint32_t tries) {
  outcome.tries = tries;
  return outcome;
}

using F = AttemptFailure;
using V = RetryVerdict;
INSTANTIATE_TEST_SUITE_P(
    Rows, RetryPolicyTest,
    testing::Values(
        RetryRow{"GET, no connection", "GET", Unsent(F::kConnectFailure), V::kRetry},
        RetryRow{"POST, no connection", "POST", Unsent(F::kConnectFailure), V::kRetry},
        RetryRow{"POST, refused stream", "POST", Sent(F::kRefusedStream), V::kRetry},
        RetryRow{"GET, reset after sending", "GET", Sent(F::kResetBeforeResponse), V::kRetry},
        RetryRow{"POST, reset after sending", "POST", Sent(F::kResetBeforeResponse),
                 V::kNotIdempotent},
        RetryRow{"POST, reset before sending", "POST", Unsent(F::kResetBeforeResponse), V::kRetry},
        RetryRow{"PATCH, 503", "PATCH", Sent(F::kStatus, 503), V::kNotIdempotent},
        RetryRow{"PUT, 503", "PUT", Sent(F::kStatus, 503), V::kRetry},
        RetryRow{"unknown method, 503", "FOO", Sent(F::kStatus, 503), V::kNotIdempotent},
        RetryRow{"GET, 500 not listed", "GET", Sent(F::kStatus, 500), V::kConditionNotListed},
        RetryRow{"GET, try time-out", "GET", Sent(F::kTryTimeout), V::kRetry},
        RetryRow{"POST, try time-out", "POST", Sent(F::kTryTimeout), V::kNotIdempotent},
        RetryRow{"GET, reset in the response", "GET", Sent(F::kResetInResponse), V::kResponseBegun},
        RetryRow{"GET, response went downstream", "GET", Forwarded(Sent(F::kStatus, 503)),
                 V::kResponseBegun},
        RetryRow{"PUT, body is gone", "PUT", WithoutBody(Sent(F::kStatus, 503)), V::kBodyGone},
        RetryRow{"GET, second try", "GET", Tries(Unsent(F::kConnectFailure), 2), V::kRetry},
        RetryRow{"GET, last try", "GET", Tries(Unsent(F::kConnectFailure), 3), V::kTriesSpent}));

TEST(RetryPolicyTest, RetriesNothingThatIsNotListed) {
  const RetryPolicy none{authz::RouteRetry()};
  for (const F failure : {F::kConnectFailure, F::kRefusedStream, F::kResetBeforeResponse,
                          F::kStatus, F::kTryTimeout}) {
    EXPECT_EQ(none.Judge("GET", Unsent(failure)), V::kConditionNotListed);
  }
}

TEST(RetryPolicyTest, ATryTimeoutNeedsStatus504InTheList) {
  authz::RouteRetry retry = Everything();
  retry.statuses = {503};
  EXPECT_EQ(RetryPolicy(retry).Judge("GET", Sent(F::kTryTimeout)), V::kConditionNotListed);
}

TEST(TimeoutsTest, AnAttemptNeverOutlivesItsRequest) {
  const MonotonicTime began(seconds(100));
  const Timeouts timeouts{.request = seconds(2), .attempt = milliseconds(500)};
  EXPECT_EQ(timeouts.AttemptDeadline(began, began), began + milliseconds(500));
  EXPECT_EQ(timeouts.AttemptDeadline(began + milliseconds(1800), began), began + seconds(2));
  const Timeouts one{.request = seconds(2), .attempt = seconds(0)};
  EXPECT_EQ(one.AttemptDeadline(began + seconds(1), began), began + seconds(2));
}

class RetryBudgetTest : public testing::Test {
 protected:
  int Retries(RetryBudget& budget) {
    int count = 0;
    while (count < 1000 && budget.TryRetry(clock_.Monotonic())) {
      ++count;
    }
    return count;
  }
  void Requests(RetryBudget& budget, int count) {
    for (int i = 0; i < count; ++i) {
      budget.OnRequest(clock_.Monotonic());
    }
  }
  FakeClock clock_{WallTime()};
};

TEST_F(RetryBudgetTest, GrantsThePercentageOfRecentRequests) {
  RetryBudget budget({.percent = 20, .retries_min = 1});
  Requests(budget, 100);
  EXPECT_EQ(Retries(budget), 20);
  clock_.Advance(seconds(5));
  Requests(budget, 50);
  EXPECT_EQ(Retries(budget), 10) << "the first 20 still count";
}

TEST_F(RetryBudgetTest, GrantsTheFloorWithoutTraffic) {
  RetryBudget budget({.percent = 20, .retries_min = 3});
  EXPECT_EQ(Retries(budget), 3);
  clock_.Advance(seconds(9));
  EXPECT_EQ(Retries(budget), 0);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Retries(budget), 3);
}

TEST_F(RetryBudgetTest, ForgetsRequestsAfterTenSeconds) {
  RetryBudget budget({.percent = 10, .retries_min = 0});
  Requests(budget, 100);
  clock_.Advance(seconds(10));
  EXPECT_EQ(Retries(budget), 0);
}

TEST_F(RetryBudgetTest, ForgetsEverythingAfterALongSilence) {
  RetryBudget budget({.percent = 10, .retries_min = 2});
  Requests(budget, 1000);
  Retries(budget);
  clock_.Advance(std::chrono::hours(24 * 365));
  EXPECT_EQ(Retries(budget), 2);
}

TEST_F(RetryBudgetTest, ABudgetOfZeroGrantsNothing) {
  RetryBudget budget({.percent = 0});
  Requests(budget, 1000);
  EXPECT_EQ(Retries(budget), 0);
}

}  // namespace
}  // namespace countersign::proxy
