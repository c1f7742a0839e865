// Patterns that blow one automaton over all of them up: their cost stays near that of a few, or the
// policy is refused and the culprits are named. Nothing is slow in silence, and no budget that is
// used up ever admits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

PolicySets OfPatterns(size_t count, Effect effect, const std::string& begin,
                      const std::string& end) {
  std::vector<Rule> rules;
  for (size_t i = 0; i < count; ++i) {
    rules.push_back(
        R(Concat("r", i), effect, Subject::kAnyone, {Path(Re2(Concat(begin, i, end)))}));
  }
  return OneSet(std::move(rules));
}

double CpuNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// The least CPU time of a batch of decisions, of one.
double CostOf(const CompiledPolicy& policy, size_t patterns) {
  DecisionScratch scratch(policy);
  std::vector<std::string> paths;
  for (size_t i = 0; i < 64; ++i) {
    paths.push_back(Concat("/team/a/service/b/admin", i * 7919 % (patterns * 2), "/users/4711"));
  }
  double least = 1e12;
  for (int round = 0; round < 50; ++round) {
    double start = CpuNanoseconds();
    for (const std::string& path : paths) {
      policy.Decide(Get(path), {}, scratch);
    }
    least = std::min(least, (CpuNanoseconds() - start) / static_cast<double>(paths.size()));
  }
  return least;
}

TEST(CliffTest, ThousandsOfUnanchoredPatternsCostLittleMoreThanTwenty) {
  auto few = CompiledPolicy::Compile(OfPatterns(20, Effect::kDeny, ".*/admin", "(/.*)?"));
  ASSERT_TRUE(few.ok()) << few.status();
  double baseline = CostOf(**few, 20);
  for (size_t count : {1000, 10'000}) {
    double start = CpuNanoseconds();
    auto many = CompiledPolicy::Compile(OfPatterns(count, Effect::kDeny, ".*/admin", "(/.*)?"));
    ASSERT_TRUE(many.ok()) << many.status();
    double compiled = CpuNanoseconds() - start;
    double cost = CostOf(**many, count);
    RecordProperty(Concat("cost_ratio_", count), std::to_string(cost / baseline));
    EXPECT_LT(cost, baseline * 10) << count;
    EXPECT_LT(compiled / static_cast<double>(count), baseline * 20'000) << count;
    DecisionScratch scratch(**many);
    std::string last = Concat("/x/admin", count - 1);
    EXPECT_EQ((*many)->Decide(Get(last), {}, scratch).reason, Reason::kDenyRule);
    EXPECT_EQ((*many)->Decide(Get(last + "/y"), {}, scratch).deciding_rule, count - 1);
    EXPECT_EQ((*many)->Decide(Get(last + "0"), {}, scratch).reason, Reason::kNoRuleMatched);
    EXPECT_TRUE((*many)->Plan().re2.empty());
  }
}

TEST(CliffTest, PatternsThatNothingTellsApartAreRefusedByName) {
  auto refused = CompiledPolicy::Compile(OfPatterns(300, Effect::kDeny, ".*[a-z]{", ",}[0-9]*"));
  EXPECT_THAT(std::string(Message(refused.status())),
              AllOf(HasSubstr("patterns_tried_max"), HasSubstr(".*[a-z]{0,}[0-9]*")));
  EXPECT_TRUE(CompiledPolicy::Compile(OfPatterns(200, Effect::kDeny, ".*[a-z]{", ",}[0-9]*")).ok());
  auto alike = CompiledPolicy::Compile(OfPatterns(300, Effect::kDeny, ".*/admin[0-9]{", "}"));
  EXPECT_THAT(std::string(Message(alike.status())),
              AllOf(HasSubstr("patterns_tried_max"), HasSubstr("/admin"), HasSubstr("[0-9]{0}")));
}

TEST(CliffTest, AutomataOverTheirBudgetAreLeftToRe2AndNamed) {
  PolicySets sets = OfPatterns(3, Effect::kDeny, ".*/a", "b[^x]{30}(/.*)?");
  auto compiled = CompiledPolicy::Compile(sets);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  MatcherPlan plan = (*compiled)->Plan();
  ASSERT_EQ(plan.re2.size(), 3U);
  EXPECT_EQ(plan.re2[0].field, "path");
  EXPECT_EQ(plan.re2[0].pattern, ".*/a0b[^x]{30}(/.*)?");
  EXPECT_THAT(plan.re2[0].why, HasSubstr("_max"));
  DecisionScratch scratch(**compiled);
  EXPECT_EQ((*compiled)->Decide(Get("/a1b" + std::string(30, 'y')), {}, scratch).deciding_rule, 1U);
  EngineLimits limits;
  limits.re2_patterns_max = 2;
  auto refused = CompiledPolicy::Compile(sets, {.limits = limits});
  EXPECT_THAT(std::string(Message(refused.status())),
              AllOf(HasSubstr("re2_patterns_max = 2"), HasSubstr(".*/a2b")));
}

TEST(CliffTest, ARequestThatUsesTheBudgetUpIsDeniedAndNeverAdmitted) {
  EngineLimits limits;
  limits.decision_bytes_max = 100'000;
  for (Effect effect : {Effect::kAllow, Effect::kDeny}) {
    auto compiled =
        CompiledPolicy::Compile(OfPatterns(200, effect, ".*/w", ".*"), {.limits = limits});
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    DecisionScratch scratch(**compiled);
    std::string hostile;
    for (int i = 0; i < 200; ++i) {
      hostile += Concat("/w", i);
    }
    Decision decision = (*compiled)->Decide(Get(hostile), {}, scratch);
    EXPECT_EQ(decision.effect, Effect::kDeny);
    EXPECT_EQ(decision.reason, Reason::kEngineFault);
    EXPECT_EQ(decision.would_be, Effect::kDeny);
    // The next one is judged as ever, and a kept view does not carry the fault on.
    EXPECT_EQ((*compiled)->Decide(Get("/w7"), {}, scratch).effect, effect);
    ConnectionView view = (*compiled)->ViewConnection(Get("/w7"), scratch);
    EXPECT_EQ((*compiled)->Decide(view, Get(hostile), {}, scratch).reason, Reason::kEngineFault);
    EXPECT_EQ((*compiled)->Decide(view, Get("/w7"), {}, scratch).effect, effect);
  }
}

}  // namespace
}  // namespace countersign::authz::testing
