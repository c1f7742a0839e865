// Generated policies and requests: a replay of what made the records flips nothing, and what is
// judged agrees with the reference evaluator on the whole request, whatever the record lacks.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "audit/replay/candidate.h"
#include "audit/replay/recorded_request.h"
#include "authz/engine/naive_authorizer.h"
#include "tests/audit/replay/replay_fixture.h"
#include "tests/support/policy_generator.h"

namespace countersign::audit {
namespace {

using authz::testing::OwnedRequest;
using authz::testing::PolicyGenerator;

constexpr int kPolicies = 60;
constexpr int kRequestsEach = 100;

// Sets as a store has them: each with a digest of its own.
authz::PolicySets Stored(PolicyGenerator& generator, uint64_t seed) {
  authz::PolicySets sets;
  for (const auto& set : generator.Sets()) {
    auto copy = std::make_shared<authz::PolicySet>(*set);
    copy->digest = HexLower(Sha256(Concat(seed, " ", set->name)));
    sets.push_back(std::move(copy));
  }
  return sets;
}

// Whether the verdict rests on a field having come at most once, and it came more often.
bool CameTwice(const Verdict& verdict, const authz::CanonicalRequest& request) {
  for (size_t i = 0; verdict.keys != nullptr && i < verdict.keys->size(); ++i) {
    const FieldKey& key = (*verdict.keys)[i];
    auto lines = key.field == authz::Field::kQuery ? request.query : request.headers;
    if ((verdict.fields >> i & 1) != 0 &&
        std::ranges::count(lines, key.key, &authz::NameValue::name) > 1) {
      return true;
    }
  }
  return false;
}

struct Tally {
  uint64_t judged = 0;
  uint64_t unjudged = 0;
  uint64_t flips = 0;
};

TEST(CandidatePropertyTest, WhatMadeTheRecordsFlipsNothing) {
  Tally tally;
  for (uint64_t seed = 1; seed <= kPolicies; ++seed) {
    PolicyGenerator generator(seed, PolicyGenerator::Claims::kDrawn);
    authz::PolicySets sets = Stored(generator, seed);
    auto compiled = authz::CompiledPolicy::Compile(sets);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    auto candidate = Candidate::Create(sets, {}, {});
    ASSERT_TRUE(candidate.ok()) << candidate.status();
    for (int i = 0; i < kRequestsEach; ++i) {
      OwnedRequest request = generator.Request();
      RecordOf made(**compiled, request.view(), generator.Now());
      StatusOr<Verdict> verdict = candidate->Judge(made.record);
      ASSERT_TRUE(verdict.ok()) << verdict.status();
      if (verdict->judged) {
        ++tally.judged;
        ASSERT_EQ(verdict->effect, made.record.effect)
            << "seed " << seed << ": " << request.Describe();
      } else {
        ++tally.unjudged;
        ASSERT_FALSE(verdict->FieldTexts().empty());
      }
    }
  }
  std::cout << tally.judged << " judged, " << tally.unjudged << " not\n";
  EXPECT_GT(tally.judged, tally.unjudged);
  EXPECT_GT(tally.unjudged, 0U) << "queries and claims are not recorded";
}

TEST(CandidatePropertyTest, WhatIsJudgedAgreesWithTheReferenceOnTheWholeRequest) {
  Tally tally;
  for (uint64_t seed = 1; seed <= kPolicies; ++seed) {
    PolicyGenerator generator(1000 + seed, PolicyGenerator::Claims::kDrawn);
    authz::PolicySets before = Stored(generator, 1000 + seed);
    authz::PolicySets after = Stored(generator, 2000 + seed);
    auto compiled = authz::CompiledPolicy::Compile(before);
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    auto naive = authz::NaiveAuthorizer::Create(after);
    ASSERT_TRUE(naive.ok()) << naive.status();
    std::vector<authz::PolicySets> versions;
    if (seed % 2 == 0) {
      versions.push_back(before);
    }
    auto candidate = Candidate::Create(after, versions, {});
    ASSERT_TRUE(candidate.ok()) << candidate.status();
    for (int i = 0; i < kRequestsEach; ++i) {
      OwnedRequest request = generator.Request();
      WallTime now = generator.Now();
      RecordOf made(**compiled, request.view(), now);
      StatusOr<Verdict> verdict = candidate->Judge(made.record);
      ASSERT_TRUE(verdict.ok()) << verdict.status();
      if (!verdict->judged) {
        ++tally.unjudged;
        continue;
      }
      authz::NaiveDecision expected = naive->Decide(request.view(), now);
      ++tally.judged;
      tally.flips += verdict->effect != made.record.effect ? 1 : 0;
      if (!CameTwice(*verdict, request.view())) {
        ASSERT_EQ(verdict->effect, expected.effect)
            << "seed " << seed << ": " << request.Describe() << " by " << verdict->RuleName();
      }
    }
  }
  std::cout << tally.judged << " judged, " << tally.flips << " flips, " << tally.unjudged
            << " not judged\n";
  EXPECT_GT(tally.flips, tally.judged / 50) << "the two are near each other, not the same";
}

class ReplayAgreesTest : public ReplayFixture {};

TEST_F(ReplayAgreesTest, FlipsOfALogAreThoseOfTheReferenceRecordByRecord) {
  const std::string kNarrow =
      AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }") +
      AllowRule("lists", kMobile, "{ methods: [GET, HEAD], path: /orders }");
  const std::string kWide =
      AllowRule("reads", kWeb, "{ methods: [GET], path: { under: /orders } }") +
      AllowRule("lists", kMobile, "{ methods: [GET], path: /orders }") +
      "    - name: no-export\n      effect: deny\n      from: anyone\n"
      "      to: [{ protocol: http, path: '/orders/export' }]\n";
  authz::PolicySets after = Orders(kWide);
  auto naive = authz::NaiveAuthorizer::Create(after);
  ASSERT_TRUE(naive.ok()) << naive.status();
  Use(Orders(kNarrow));
  authz::DecisionScratch scratch(*policy_);
  uint64_t newly_allowed = 0;
  uint64_t newly_denied = 0;
  for (std::string_view caller : {kWeb, kMobile, std::string_view()}) {
    for (std::string_view method : {"GET", "HEAD", "POST"}) {
      for (std::string_view path :
           {"/orders", "/orders/7", "/orders/export", "/orders/7/items", "/orders-admin", "/"}) {
        authz::CanonicalRequest request = Http(caller, method, path);
        auto was = policy_->Decide(request, clock_.Now(), scratch).effect;
        auto is = naive->Decide(request, clock_.Now()).effect;
        newly_allowed += was != is && is == authz::Effect::kAllow ? 1 : 0;
        newly_denied += was != is && is == authz::Effect::kDeny ? 1 : 0;
        Put(request);
      }
    }
  }
  ReplayReport report = Replayed(after);
  EXPECT_EQ(report.newly_allowed, newly_allowed);
  EXPECT_EQ(report.newly_denied, newly_denied);
  EXPECT_GT(newly_allowed, 0U);
  EXPECT_GT(newly_denied, 0U);
  EXPECT_EQ(report.judged(), 54U);
}

}  // namespace
}  // namespace countersign::audit
