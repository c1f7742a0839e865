// The exact difference of two versions, held against the engine.
#include "authz/prove/diff.h"

#include <gtest/gtest.h>

#include <map>

#include "authz/engine/naive_authorizer.h"
#include "authz/language/canonical_language.h"
#include "authz/prove/witness.h"
#include "tests/support/policy_builder.h"
#include "tests/support/policy_generator.h"

namespace countersign::authz::prove {
namespace {

using testing::OwnedRequest;
using testing::PolicyGenerator;

// What a proxy can hand to the engine: the space that proofs are about.
class CanonicalFilter {
 public:
  CanonicalFilter() {
    for (Field field :
         {Field::kId, Field::kSni, Field::kMethod, Field::kPath, Field::kHost, Field::kHeader}) {
      languages_.emplace(field, language::CanonicalValuesOf(field)->language);
    }
  }
  bool IsCanonical(const OwnedRequest& request) const {
    auto is = [&](Field field, const std::string& value) {
      return languages_.at(field).Matches(value);
    };
    auto is_or_absent = [&](Field field, const std::string& value) {
      return value.empty() || is(field, value);
    };
    bool connection = is(Field::kId, request.callee) && is_or_absent(Field::kId, request.caller) &&
                      is_or_absent(Field::kSni, request.sni);
    if (request.kind == RequestKind::kTcp) {
      return connection;
    }
    for (const auto& [name, value] : request.headers) {
      connection = connection && is(Field::kHeader, value);
    }
    return connection && is(Field::kMethod, request.method) && is(Field::kPath, request.path) &&
           is_or_absent(Field::kHost, request.host);
  }

 private:
  std::map<Field, language::Language> languages_;
};

const CanonicalFilter& Filter() {
  static const CanonicalFilter kFilter;
  return kFilter;
}

// Regions are sound and complete for these requests: a verdict changes exactly in one region of
// its kind, and no other request is in any.
void ExpectExact(const PolicySets& before, const PolicySets& after, WallTime now,
                 const DiffReport& report, PolicyGenerator& generator, size_t requests) {
  auto old_naive = NaiveAuthorizer::Create(before);
  auto new_naive = NaiveAuthorizer::Create(after);
  ASSERT_TRUE(old_naive.ok() && new_naive.ok());
  for (size_t i = 0; i < requests; ++i) {
    OwnedRequest request = generator.Request();
    if (!Filter().IsCanonical(request)) {
      continue;
    }
    bool old_allows = old_naive->Decide(request.view(), now).effect == Effect::kAllow;
    bool new_allows = new_naive->Decide(request.view(), now).effect == Effect::kAllow;
    size_t in = 0;
    for (size_t change = 0; change < report.changes.size(); ++change) {
      if (Contains(report, change, request.view())) {
        ++in;
        EXPECT_EQ(report.changes[change].newly_allowed, new_allows) << request.Describe();
      }
    }
    if (report.complete) {
      ASSERT_EQ(in, old_allows == new_allows ? 0U : 1U) << request.Describe();
    } else {
      ASSERT_LE(in, old_allows == new_allows ? 0U : 1U) << request.Describe();
    }
  }
}

TEST(DiffTest, RegionsHoldExactlyTheRequestsWhoseVerdictChanges) {
  for (uint64_t seed = 0; seed < 7; ++seed) {
    SCOPED_TRACE(seed);
    PolicyGenerator generator(seed);
    PolicySets before = generator.Sets();
    PolicySets after = generator.Sets();
    WallTime now = generator.Now();
    StatusOr<DiffReport> report = DiffPolicies(before, after, {.now = now});
    ASSERT_TRUE(report.ok()) << report.status();
    ExpectExact(before, after, now, *report, generator, 100);
  }
}

// A claim's values are a list and depend on a token, which is not what the other coordinates are.
TEST(DiffTest, ARuleThatNamesClaimsIsRefusedByName) {
  Rule rule = testing::R("buyers", Effect::kAllow, Subject::kAnyone, {},
                         {testing::Keyed(Field::kClaim, "groups", {testing::Is("buyers")})});
  PolicySets with = testing::OneSet({rule});
  PolicySets without = testing::OneSet({testing::R("all", Effect::kAllow, Subject::kAnyone)});
  StatusOr<DiffReport> report = DiffPolicies(without, with, {.now = WallTime()});
  EXPECT_EQ(report.status().code(), StatusCode::kUnimplemented);
  EXPECT_NE(Message(report.status()).find("\"buyers\" names claims"), std::string_view::npos);
}

// One rule of many is changed: what most changes are.
TEST(DiffTest, OneChangedRuleIsFoundWithAllThatItChanges) {
  size_t differences = 0;
  for (uint64_t seed = 100; seed < 124; ++seed) {
    SCOPED_TRACE(seed);
    PolicyGenerator generator(seed);
    PolicySets before = generator.Sets();
    auto changed = std::make_shared<PolicySet>(*before[0]);
    AccessPolicy* policy = nullptr;
    for (AccessPolicy& each : changed->policies) {
      policy = each.rules.empty() ? policy : &each;
    }
    if (policy == nullptr) {
      continue;
    }
    Rule& rule = policy->rules[seed % policy->rules.size()];
    switch (seed % 4) {
      case 0:
        policy->rules.erase(policy->rules.begin());
        break;
      case 1:
        rule.to.clear();
        break;
      case 2:
        rule.effect = Effect::kDeny;
        rule.expires.reset();
        break;
      default:
        rule.when.clear();
    }
    PolicySets after = before;
    after[0] = changed;
    WallTime now = generator.Now();
    StatusOr<DiffReport> report = DiffPolicies(before, after, {.now = now});
    if (!report.ok()) {
      ASSERT_TRUE(language::IsTooLarge(report.status())) << report.status();
      continue;
    }
    differences += report->same() ? 0 : 1;
    ExpectExact(before, after, now, *report, generator, 200);
  }
  EXPECT_GT(differences, 5U);
}

}  // namespace
}  // namespace countersign::authz::prove
