// What is absent, what occurs twice and what a TCP connection does not have: lines 6 to 8 of the
// policy language's semantics, by both evaluators.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/authz/engine/both_evaluators.h"
#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

constexpr Effect kAllow = Effect::kAllow;
constexpr Effect kDeny = Effect::kDeny;

// Line 6.
TEST(SemanticsTest, R17AbsentIdentityNeverSatisfiesAPredicateOnIt) {
  CanonicalRequest anonymous = Get("/", "");
  struct {
    const char* name;
    Rule rule;
    bool matches;
  } const kRows[] = {
      {"an allow's id", R("r", kAllow, {Id(Re2(".*"))}), false},
      {"an allow's trust domain", R("r", kAllow, {E({On(Field::kTrustDomain, Prefix("s"))})}),
       false},
      {"an allow's exception excludes",
       R("r", kAllow, {E({On(Field::kPort, Port(8443))}, {{On(Field::kId, Is(kPartner))}})}),
       false},
      {"a deny's id", R("r", kDeny, {Id(Re2(".*"))}), false},
      {"a deny's exception does not save",
       R("r", kDeny, {E({On(Field::kPort, Port(8443))}, {{On(Field::kId, Is(kWeb))}})}), true},
      {"present", R("r", kAllow, {Id(Present())}), false},
      {"absent", R("r", kAllow, {Id(Absent())}), true},
      {"absent in a deny", R("r", kDeny, {Id(Absent())}), true},
      {"anyone", R("r", kAllow, Subject::kAnyone), true},
      {"authenticated", R("r", kAllow, Subject::kAuthenticated), false},
      {"mesh", R("r", kAllow, Subject::kMesh), false},
      {"deny authenticated", R("r", kDeny, Subject::kAuthenticated), false},
  };
  for (const auto& row : kRows) {
    BothEvaluators both(OneSet({row.rule}));
    EXPECT_EQ(!both.Decide(anonymous).matched.empty(), row.matches) << row.name;
  }
}

TEST(SemanticsTest, AuthenticatedIsAnyIdentityAndMeshTheWorkloadsOwnTrustDomain) {
  BothEvaluators authenticated(OneSet({R("r", kAllow, Subject::kAuthenticated)}));
  BothEvaluators mesh(OneSet({R("r", kAllow, Subject::kMesh)}));
  EXPECT_TRUE(authenticated.Allows(Get("/", kPartner)));
  EXPECT_TRUE(mesh.Allows(Get("/", kWeb)));
  EXPECT_FALSE(mesh.Allows(Get("/", kPartner)));
}

TEST(SemanticsTest, AbsentValuesOfEveryFieldAreNarrowInAllowsAndDoNotSaveFromDenies) {
  const Condition conditions[] = {
      On(Field::kPeerIp, Cidr(V4(0, 0, 0, 0), 0)),
      On(Field::kPort, Port(8443)),
      On(Field::kSni, Re2(".*")),
      On(Field::kMethod, Re2(".*")),
      On(Field::kPath, Re2(".*")),
      On(Field::kHost, Re2(".*")),
      Keyed(Field::kHeader, "x-a", {Re2(".*")}),
      Keyed(Field::kQuery, "a", {Re2(".*")}),
      Many(Keyed(Field::kHeader, "x-a", {Re2(".*")})),
  };
  CanonicalRequest bare;
  bare.kind = RequestKind::kHttp;
  bare.callee = kOrders;
  bare.caller = kWeb;
  for (const Condition& condition : conditions) {
    std::string name(FieldName(condition.field));
    auto matches = [&](Rule rule) {
      return !BothEvaluators(OneSet({rule})).Decide(bare).matched.empty();
    };
    EXPECT_FALSE(matches(R("r", kAllow, {Id(Is(kWeb))}, {}, {condition}))) << name;
    EXPECT_FALSE(matches(R("r", kDeny, {Id(Is(kWeb))}, {}, {condition}))) << name;
    EXPECT_FALSE(matches(R("r", kAllow, {E({On(Field::kId, Is(kWeb))}, {{condition}})}))) << name;
    EXPECT_TRUE(matches(R("r", kDeny, {E({On(Field::kId, Is(kWeb))}, {{condition}})}))) << name;
    Condition absent = condition;
    absent.any_of = {Absent()};
    EXPECT_TRUE(matches(R("r", kAllow, {Id(Is(kWeb))}, {}, {absent}))) << name;
    absent.any_of = {Present()};
    EXPECT_FALSE(matches(R("r", kAllow, {Id(Is(kWeb))}, {}, {absent}))) << name;
    EXPECT_TRUE(matches(R("r", kAllow, {E({On(Field::kId, Is(kWeb))}, {{absent}})}))) << name;
  }
}

TEST(SemanticsTest, AnEmptyHeaderIsPresent) {
  BothEvaluators both(
      OneSet({R("r", kAllow, Subject::kAnyone, {}, {Keyed(Field::kHeader, "x-a", {Re2("")})})}));
  NameValue empty[] = {{"x-a", ""}};
  CanonicalRequest request = Get();
  EXPECT_FALSE(both.Allows(request));
  request.headers = empty;
  EXPECT_TRUE(both.Allows(request));
}

// Line 7.
TEST(SemanticsTest, R4ANamedKeyMayOccurOnceOnly) {
  for (Field field : {Field::kHeader, Field::kQuery}) {
    BothEvaluators both(
        OneSet({R("all", kAllow, Subject::kAnyone),
                R("no", kDeny, {Id(Is(kPartner))}, {}, {Keyed(field, "role", {Is("admin")})})}));
    NameValue twice[] = {{"role", "user"}, {"role", "user"}};
    NameValue others[] = {{"other", "a"}, {"other", "b"}, {"role", "user"}};
    CanonicalRequest request = Get();
    auto& lines = field == Field::kHeader ? request.headers : request.query;
    lines = others;
    EXPECT_TRUE(both.Allows(request));
    lines = twice;
    NaiveDecision decision = both.Decide(request);
    EXPECT_EQ(decision.reason, Reason::kAmbiguousField);
    EXPECT_EQ(decision.effect, kDeny);
    EXPECT_TRUE(decision.matched.empty());
  }
}

TEST(SemanticsTest, R4ManyAsksAllValuesOfAnAllowAndAnyOfADeny) {
  auto when = [](Matcher matcher) {
    return std::vector<Condition>{Many(Keyed(Field::kHeader, "x-role", {std::move(matcher)}))};
  };
  BothEvaluators allow(OneSet({R("r", kAllow, Subject::kAnyone, {}, when(Re2("reader|writer")))}));
  BothEvaluators deny(OneSet({R("all", kAllow, Subject::kAnyone),
                              R("r", kDeny, Subject::kAnyone, {}, when(Is("admin")))}));
  NameValue good[] = {{"x-role", "reader"}, {"x-role", "writer"}};
  NameValue mixed[] = {{"x-role", "reader"}, {"x-other", "x"}, {"x-role", "admin"}};
  CanonicalRequest request = Get();
  EXPECT_FALSE(allow.Allows(request));
  request.headers = good;
  EXPECT_TRUE(allow.Allows(request));
  EXPECT_TRUE(deny.Allows(request));
  request.headers = mixed;
  EXPECT_FALSE(allow.Allows(request));
  EXPECT_FALSE(deny.Allows(request));
}

TEST(SemanticsTest, OnlyRulesThatGuardTheWorkloadMakeAKeyAmbiguous) {
  AccessPolicy other =
      P("other", {R("r", kAllow, Subject::kAnyone, {}, {Keyed(Field::kHeader, "x-a", {Is("1")})})});
  other.applies_to_all = false;
  other.applies_to = {Is(kWeb)};
  BothEvaluators both(Sets({S("s", {P("p", {R("all", kAllow, Subject::kAnyone)}), other})}));
  NameValue twice[] = {{"x-a", "1"}, {"x-a", "1"}};
  CanonicalRequest request = Get();
  request.headers = twice;
  EXPECT_TRUE(both.Allows(request));
  request.callee = kWeb;
  EXPECT_EQ(both.Decide(request).reason, Reason::kAmbiguousField);
}

// Line 8.
TEST(SemanticsTest, R16OnTcpHttpFieldsMakeDeniesWiderAndAllowsNarrower) {
  const Condition http_only[] = {On(Field::kMethod, Is("DELETE")),
                                 On(Field::kPath, Is("/x")),
                                 On(Field::kHost, Is("h")),
                                 Keyed(Field::kHeader, "x-a", {Is("1")}),
                                 Keyed(Field::kQuery, "a", {Is("1")}),
                                 Keyed(Field::kClaim, "a", {Is("1")}),
                                 On(Field::kPath, Absent())};
  for (const Condition& condition : http_only) {
    std::string name(FieldName(condition.field));
    auto matches = [&](Rule rule) {
      return !BothEvaluators(OneSet({rule})).Decide(Tcp()).matched.empty();
    };
    EXPECT_TRUE(matches(R("r", kDeny, Subject::kAnyone, {E({condition})}))) << name;
    EXPECT_TRUE(matches(R("r", kDeny, Subject::kAnyone, {}, {condition}))) << name;
    EXPECT_FALSE(matches(R("r", kAllow, Subject::kAnyone, {E({condition})}))) << name;
    EXPECT_FALSE(matches(R("r", kAllow, Subject::kAnyone, {}, {condition}))) << name;
    Entry port_but_not({E({On(Field::kPort, Port(8443))}, {{condition}})});
    EXPECT_TRUE(matches(R("r", kDeny, Subject::kAnyone, {port_but_not}))) << name;
    EXPECT_FALSE(matches(R("r", kAllow, Subject::kAnyone, {port_but_not}))) << name;
  }
}

TEST(SemanticsTest, ADenyThatSaysHttpLeavesTcpAlone) {
  BothEvaluators both(
      OneSet({R("all", kAllow, Subject::kAnyone),
              R("no", kDeny, Subject::kAnyone,
                {E({On(Field::kProtocol, Is("http")), On(Field::kPath, Under("/admin"))})})}));
  EXPECT_TRUE(both.Allows(Tcp()));
  EXPECT_FALSE(both.Allows(Get("/admin")));
}

TEST(SemanticsTest, ATcpConnectionIsJudgedByItsOwnFields) {
  BothEvaluators both(OneSet(
      {R("r", kAllow, {Id(Is(kWeb))},
         {E({On(Field::kProtocol, Is("tcp")), On(Field::kPort, Port(8443))}), Path(Is("/x"))})}));
  EXPECT_TRUE(both.Allows(Tcp()));
  EXPECT_FALSE(both.Allows(Tcp(kMobile)));
  EXPECT_FALSE(both.Allows(Get("/y")));
  EXPECT_TRUE(both.Allows(Get("/x")));
}

}  // namespace
}  // namespace countersign::authz::testing
