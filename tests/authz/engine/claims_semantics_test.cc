// Claims of a verified token: lines 6 to 9 of the policy language's semantics, by both evaluators.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "authz/engine/explain.h"
#include "tests/authz/engine/both_evaluators.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

constexpr Effect kAllow = Effect::kAllow;
constexpr Effect kDeny = Effect::kDeny;

Condition Claim(std::string_view path, std::vector<Matcher> any_of) {
  return Keyed(Field::kClaim, path, std::move(any_of));
}

// Matches says whether a rule with this condition in `when` matches a request with these claims.
bool Matches(Effect effect, const Condition& condition, std::vector<NameValue> claims) {
  BothEvaluators both(OneSet({R("r", effect, Subject::kAnyone, {}, {condition})}));
  CanonicalRequest request = Get();
  request.claims = claims;
  return !both.Decide(request).matched.empty();
}

const std::vector<NameValue> kNoToken;
const std::vector<NameValue> kBuyer = {{"groups", "staff"}, {"groups", "buyers"}, {"iss", "login"}};
const std::vector<NameValue> kGuest = {{"groups", "guests"}, {"iss", "login"}};
const std::vector<NameValue> kPlain = {{"iss", "login"}};

TEST(ClaimSemanticsTest, AListMatchesIfSomeElementDoesInAllowsAndDenies) {
  for (Effect effect : {kAllow, kDeny}) {
    for (const Condition& condition :
         {Claim("groups", {Is("buyers")}), Claim("groups", {Prefix("buy")}),
          Claim("groups", {Re2("b[a-z]+")}), Claim("groups", {Is("nobody"), Is("buyers")})}) {
      EXPECT_TRUE(Matches(effect, condition, kBuyer));
      EXPECT_FALSE(Matches(effect, condition, kGuest));
      EXPECT_FALSE(Matches(effect, condition, kPlain));
      EXPECT_FALSE(Matches(effect, condition, kNoToken));
    }
  }
}

// A header that occurs twice is ambiguous; a claim with two values is a list.
TEST(ClaimSemanticsTest, SeveralValuesAreNeverAmbiguous) {
  BothEvaluators both(
      OneSet({R("r", kAllow, Subject::kAnyone, {}, {Claim("groups", {Is("staff")})}),
              R("n", kDeny, Subject::kAnyone, {}, {Claim("groups", {Is("banned")})})}));
  CanonicalRequest request = Get();
  request.claims = kBuyer;
  EXPECT_EQ(both.Decide(request).reason, Reason::kAllowRule);
}

TEST(ClaimSemanticsTest, AnyOrderAndAnyOtherClaimBetweenTheValuesIsTheSame) {
  const Condition condition = Claim("groups", {Is("buyers")});
  EXPECT_TRUE(Matches(kAllow, condition, {{"groups", "a"}, {"iss", "b"}, {"groups", "buyers"}}));
  EXPECT_TRUE(Matches(kAllow, condition, {{"groups", "buyers"}, {"groups", "a"}}));
  EXPECT_FALSE(Matches(kAllow, condition, {{"groups", "a"}, {"iss", "buyers"}}));
  EXPECT_FALSE(Matches(kAllow, condition, {{"Groups", "buyers"}}));
  EXPECT_FALSE(Matches(kAllow, condition, {{"groups.x", "buyers"}}));
}

TEST(ClaimSemanticsTest, WithoutATokenAnAllowIsFalseAndADenyAppliesOnlyToAbsence) {
  struct {
    const char* name;
    std::vector<Matcher> any_of;
    bool allow_without_token, deny_without_token, without_claim, with_claim;
  } const kRows[] = {
      {"present", {Present()}, false, false, false, true},
      {"absent", {Absent()}, false, true, true, false},
      {"a value", {Is("guests")}, false, false, false, true},
      {"a value or absent", {Is("guests"), Absent()}, false, true, true, true},
  };
  for (const auto& row : kRows) {
    const Condition condition = Claim("groups", row.any_of);
    EXPECT_EQ(Matches(kAllow, condition, kNoToken), row.allow_without_token) << row.name;
    EXPECT_EQ(Matches(kDeny, condition, kNoToken), row.deny_without_token) << row.name;
    for (Effect effect : {kAllow, kDeny}) {
      EXPECT_EQ(Matches(effect, condition, kPlain), row.without_claim) << row.name;
      EXPECT_EQ(Matches(effect, condition, kGuest), row.with_claim) << row.name;
    }
  }
}

TEST(ClaimSemanticsTest, AnExceptionOnClaimsIsNarrowWithoutAToken) {
  auto matches = [](Effect effect, Matcher matcher, const std::vector<NameValue>& claims) {
    Entry entry = E({On(Field::kMethod, Is("GET"))}, {{Claim("groups", {std::move(matcher)})}});
    BothEvaluators both(OneSet({R("r", effect, Subject::kAnyone, {entry})}));
    CanonicalRequest request = Get();
    request.claims = claims;
    return !both.Decide(request).matched.empty();
  };
  for (const Matcher& matcher : {Is("buyers"), Absent()}) {
    EXPECT_FALSE(matches(kAllow, matcher, kNoToken));
    EXPECT_TRUE(matches(kDeny, matcher, kNoToken));
  }
  for (Effect effect : {kAllow, kDeny}) {
    EXPECT_FALSE(matches(effect, Is("buyers"), kBuyer));
    EXPECT_TRUE(matches(effect, Is("buyers"), kGuest));
  }
}

TEST(ClaimSemanticsTest, AnEmptyClaimIsPresent) {
  EXPECT_TRUE(Matches(kAllow, Claim("nick", {Present()}), {{"nick", ""}}));
  EXPECT_FALSE(Matches(kAllow, Claim("nick", {Absent()}), {{"nick", ""}}));
}

TEST(ClaimSemanticsTest, OnTcpAnAllowIsFalseAndADenyIsWider) {
  const Condition condition = Claim("groups", {Is("buyers")});
  for (Effect effect : {kAllow, kDeny}) {
    BothEvaluators both(OneSet({R("r", effect, Subject::kAnyone, {}, {condition})}));
    EXPECT_EQ(!both.Decide(Tcp()).matched.empty(), effect == kDeny);
  }
}

TEST(ClaimSemanticsTest, APolicySaysWhetherItReadsClaims) {
  auto reads = [](const Condition& condition) {
    return BothEvaluators(OneSet({R("r", kAllow, Subject::kAnyone, {}, {condition})}))
        .compiled()
        .NamesAnyClaim();
  };
  EXPECT_TRUE(reads(Claim("groups", {Is("buyers")})));
  EXPECT_FALSE(reads(Keyed(Field::kHeader, "groups", {Is("buyers")})));
}

TEST(ClaimSemanticsTest, AnExplanationNamesTheClaimThatFailed) {
  BothEvaluators both(
      OneSet({R("r", kAllow, Subject::kAnyone, {}, {Claim("groups", {Is("buyers")})})}));
  struct {
    const char* name;
    const std::vector<NameValue>& claims;
    const char* has;
  } const kRows[] = {{"no token", kNoToken, "absent"}, {"another group", kGuest, "guests"}};
  for (const auto& row : kRows) {
    CanonicalRequest request = Get();
    request.claims = row.claims;
    DecisionScratch scratch;
    scratch.Fit(both.compiled());
    Decision decision = both.compiled().Decide(request, WallTime(), scratch);
    Explanation explanation = Explain(both.compiled(), request, WallTime(), decision);
    EXPECT_NE(explanation.Text().find("claims groups"), std::string::npos) << explanation.Text();
    EXPECT_NE(explanation.Text().find(row.has), std::string::npos) << explanation.Text();
  }
}

}  // namespace
}  // namespace countersign::authz::testing
