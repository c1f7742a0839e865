// Endpoints by turns, past the dead ones; splits by weight.
#include "proxy_agent/route/balancer.h"

#include <gtest/gtest.h>

#include <map>

#include "proxy_agent/route/weighted_split.h"

namespace countersign::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BalancerTest : public testing::Test {
 protected:
  std::string Next(std::vector<size_t> tried = {}) {
    const auto i = balancer_.Next(clock_.Monotonic(), tried);
    return i ? balancer_.address(*i) : "";
  }
  std::string Turns(int count) {
    std::string addresses;
    for (int i = 0; i < count; ++i) {
      addresses += Next();
    }
    return addresses;
  }
  void Fail(size_t i) { balancer_.OnFailure(i, clock_.Monotonic()); }

  FakeClock clock_{WallTime()};
  EndpointBalancer balancer_{{"a", "b", "c"},
                             {.failures = 2, .first = seconds(1), .longest = seconds(4)}};
};

TEST_F(BalancerTest, TakesTurns) { EXPECT_EQ(Turns(4), "abca"); }

TEST_F(BalancerTest, ARetryGoesElsewhere) {
  EXPECT_EQ(Next(), "a");
  EXPECT_EQ(Next({0}), "b");
  EXPECT_EQ(Next({0, 1}), "c");
  EXPECT_EQ(Next({1, 2}), "a");
}

TEST_F(BalancerTest, WhenAllWereTriedOneIsTriedAgain) { EXPECT_NE(Next({0, 1, 2}), ""); }

TEST_F(BalancerTest, EjectsAfterConsecutiveFailuresAndLetsBackIn) {
  Fail(0);
  EXPECT_FALSE(balancer_.Ejected(0, clock_.Monotonic())) << "one failure may be a restart";
  Fail(0);
  EXPECT_EQ(Turns(3), "bcb");
  clock_.Advance(seconds(1));
  EXPECT_EQ(Turns(3), "cab");
}

TEST_F(BalancerTest, ASuccessForgivesEverything) {
  Fail(0);
  balancer_.OnSuccess(0);
  Fail(0);
  EXPECT_FALSE(balancer_.Ejected(0, clock_.Monotonic()));
}

TEST_F(BalancerTest, EjectionsDoubleUpToTheLongest) {
  Fail(0);
  for (const auto expected : {seconds(1), seconds(2), seconds(4), seconds(4)}) {
    Fail(0);
    EXPECT_TRUE(balancer_.Ejected(0, clock_.Monotonic() + expected - milliseconds(1)));
    EXPECT_FALSE(balancer_.Ejected(0, clock_.Monotonic() + expected));
    clock_.Advance(expected);
  }
}

TEST_F(BalancerTest, AFailureWhileEjectedDoesNotProlongIt) {
  Fail(0);
  Fail(0);
  clock_.Advance(milliseconds(900));
  Fail(0);
  EXPECT_FALSE(balancer_.Ejected(0, clock_.Monotonic() + milliseconds(100)));
}

TEST_F(BalancerTest, AnEjectedEndpointIsBetterThanOneThatThisRequestTried) {
  Fail(1);
  Fail(1);
  balancer_.Update({"a", "b"});
  EXPECT_EQ(Next({0}), "b");
}

TEST_F(BalancerTest, WhenAllAreEjectedTheOneThatIsDueFirstIsTaken) {
  for (const size_t i : {1, 0, 2}) {
    Fail(i);
    Fail(i);
    clock_.Advance(milliseconds(100));
  }
  EXPECT_EQ(Next(), "b");
}

TEST_F(BalancerTest, AnUpdateKeepsWhatIsKnown) {
  Fail(0);
  Fail(0);
  balancer_.Update({"d", "a"});
  EXPECT_EQ(Turns(2), "dd");
  balancer_.Update({});
  EXPECT_EQ(Next(), "");
  balancer_.OnFailure(1, clock_.Monotonic());
  balancer_.OnSuccess(1);
}

TEST(WeightedSplitTest, GivesEachServiceItsPart) {
  const WeightedSplit split({{"old", 95}, {"off", 0}, {"new", 5}});
  std::map<std::string, int> count;
  for (uint64_t i = 0; i < 1000; ++i) {
    ++count[split.Pick(i)];
  }
  EXPECT_EQ(count, (std::map<std::string, int>{{"old", 950}, {"new", 50}}));
}

TEST(WeightedSplitTest, WithoutASplitItIsTheServiceItself) {
  EXPECT_EQ(WeightedSplit({}).Pick(7), "");
}

}  // namespace
}  // namespace countersign::proxy
