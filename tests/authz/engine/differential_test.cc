// The compiled policy and the reference agree on generated policies and requests, in full and on a
// kept connection's view.
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/engine/naive_authorizer.h"
#include "tests/support/policy_generator.h"

namespace countersign::authz {
namespace {

using testing::OwnedRequest;
using testing::PolicyGenerator;

constexpr int kRequestsEach = 100;

// How much is compared: COUNTERSIGN_PAIRS=1000000 so many pairs, else as many as
// COUNTERSIGN_CPU_SECONDS allow, some seconds if neither is said.
uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

bool Enough(uint64_t pairs) {
  if (uint64_t wanted = Setting("COUNTERSIGN_PAIRS", 0); wanted != 0) {
    return pairs >= wanted;
  }
  double seconds = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return seconds >= static_cast<double>(Setting("COUNTERSIGN_CPU_SECONDS", 10));
}

uint64_t Seed() {
  const char* given = std::getenv("COUNTERSIGN_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
}

std::string Describe(const Decision& d) {
  std::string text =
      Concat(d.effect == Effect::kAllow ? "allow " : "deny ", ReasonName(d.reason), " by ",
             d.deciding_rule, d.would_be == Effect::kAllow ? " would allow" : " would deny", " of");
  for (uint32_t rule : d.matched) {
    text += Concat(" ", rule);
  }
  return text;
}

std::string Describe(const NaiveDecision& d) {
  return Describe(Decision{.effect = d.effect,
                           .reason = d.reason,
                           .deciding_rule = d.deciding_rule,
                           .matched = d.matched,
                           .would_be = d.would_be});
}

TEST(DifferentialTest, CompiledAndReferenceAgree) {
  uint64_t seed = Seed();
  std::cout << "COUNTERSIGN_SEED=" << seed << std::endl;
  std::vector<uint64_t> reasons(16);
  DecisionScratch scratch;
  uint64_t pairs = 0;
  for (int i = 0; !Enough(pairs); ++i) {
    uint64_t policy_seed = seed * 1'000'003 + static_cast<uint64_t>(i);
    PolicyGenerator generator(policy_seed, PolicyGenerator::Claims::kDrawn);
    PolicySets sets = generator.Sets();
    auto naive = NaiveAuthorizer::Create(sets);
    ASSERT_TRUE(naive.ok()) << naive.status();
    auto compiled = CompiledPolicy::Compile(sets);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    scratch.Fit(**compiled);
    ConnectionView last_view;
    for (int r = 0; r < kRequestsEach; ++r) {
      OwnedRequest request = generator.Request();
      WallTime now = generator.Now();
      NaiveDecision expected = naive->Decide(request.view(), now);
      std::string wanted = Describe(expected);
      std::string where = Concat("COUNTERSIGN_SEED=", seed, " policy ", i, " request ", r, ": ",
                                 request.Describe());
      ASSERT_EQ(Describe((*compiled)->Decide(request.view(), now, scratch)), wanted) << where;
      ConnectionView view = (*compiled)->ViewConnection(request.view(), scratch);
      ASSERT_EQ(Describe((*compiled)->Decide(view, request.view(), now, scratch)), wanted)
          << "on its view, " << where;
      // A view of another connection is never believed.
      ASSERT_EQ(Describe((*compiled)->Decide(last_view, request.view(), now, scratch)), wanted)
          << "on another's view, " << where;
      last_view = std::move(view);
      ++reasons[static_cast<size_t>(expected.reason)];
      ++pairs;
    }
  }
  std::cout << pairs << " pairs\n";
  ASSERT_GT(pairs, 10'000U);
  // The generator reaches every reason that a policy can give.
  for (Reason reason : {Reason::kNoPolicy, Reason::kNoRuleMatched, Reason::kDenyRule,
                        Reason::kAllowRule, Reason::kUnmatchedTrial, Reason::kAmbiguousField}) {
    EXPECT_GT(reasons[static_cast<size_t>(reason)], pairs / 1000) << ReasonName(reason);
    std::cout << ReasonName(reason) << " " << reasons[static_cast<size_t>(reason)] << "\n";
  }
}

}  // namespace
}  // namespace countersign::authz
