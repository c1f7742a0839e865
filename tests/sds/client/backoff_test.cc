#include "sds/client/backoff.h"

#include <gtest/gtest.h>

#include <set>

namespace countersign::sds {
namespace {

using namespace std::chrono_literals;

TEST(BackoffTest, DoublesToItsBoundWithJitterOfUpToHalf) {
  Backoff backoff({50ms, 1000ms});
  for (auto full : {50ms, 100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    auto wait = backoff.Next();
    EXPECT_LE(wait, full);
    EXPECT_GE(wait, full / 2);
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), 50ms);
}

TEST(BackoffTest, WaitsDiffer) {
  std::set<std::chrono::milliseconds> waits;
  Backoff backoff({1000ms, 1000ms});
  for (int i = 0; i < 50; ++i) {
    waits.insert(backoff.Next());
  }
  EXPECT_GT(waits.size(), 10u);
}

}  // namespace
}  // namespace countersign::sds
