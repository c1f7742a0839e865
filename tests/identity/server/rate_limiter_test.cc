#include "identity/server/rate_limiter.h"

#include <gtest/gtest.h>

namespace countersign::server {
namespace {

TEST(RateLimiterTest, CallersHaveABurstThenARateEach) {
  FakeClock clock(*ParseTime("2026-01-31"));
  RateLimiter limiter({.per_second = 2, .burst = 3}, clock);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limiter.Take("a"));
  }
  EXPECT_FALSE(limiter.Take("a"));
  EXPECT_TRUE(limiter.Take("b"));
  clock.Advance(std::chrono::milliseconds(500));
  EXPECT_TRUE(limiter.Take("a"));
  EXPECT_FALSE(limiter.Take("a"));
  clock.Advance(std::chrono::hours(1));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(limiter.Take("a"));
  }
  EXPECT_FALSE(limiter.Take("a"));
}

TEST(RateLimiterTest, ANewCallerIsNeverRefusedBecauseOthersCalled) {
  FakeClock clock(*ParseTime("2026-01-31"));
  RateLimiter limiter({.per_second = 1, .burst = 2, .keys_max = 2}, clock);
  EXPECT_TRUE(limiter.Take("a"));
  EXPECT_TRUE(limiter.Take("b"));
  EXPECT_TRUE(limiter.Take("b"));
  EXPECT_TRUE(limiter.Take("c"));   // "a" is forgotten, who had more left.
  EXPECT_FALSE(limiter.Take("b"));  // Not so "b".
}

}  // namespace
}  // namespace countersign::server
