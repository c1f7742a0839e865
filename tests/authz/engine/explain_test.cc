// Every decision explains itself.
#include "authz/engine/explain.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/policy_builder.h"

namespace countersign::authz::testing {
namespace {

class Explained {
 public:
  Explained(PolicySets sets, const CanonicalRequest& request, WallTime now = WallTime())
      : policy_(*CompiledPolicy::Compile(std::move(sets))), scratch_(*policy_) {
    Decision decision = policy_->Decide(request, now, scratch_);
    explanation_ = Explain(*policy_, request, now, decision);
    nearest_ = FindNearestMiss(*policy_, request, now);
    nearest_key_ = nearest_.key;
  }
  const Explanation* operator->() const { return &explanation_; }
  const NearestMiss& nearest() const { return nearest_; }

 private:
  std::shared_ptr<const CompiledPolicy> policy_;
  DecisionScratch scratch_;
  Explanation explanation_;
  NearestMiss nearest_;
  std::string nearest_key_;
};

std::vector<Rule> ShopRules() {
  return {R("reads", Effect::kAllow, {Id(Is(kWeb))},
            {E({On(Field::kMethod, {Is("GET"), Is("HEAD")}), On(Field::kPath, Under("/orders"))})}),
          R("writes", Effect::kAllow, {Id(Is(kMobile))},
            {E({On(Field::kMethod, Is("POST")), On(Field::kPath, Under("/orders"))})},
            {Keyed(Field::kHeader, "x-tenant", {Re2("[a-z]+")})})};
}

TEST(ExplainTest, NamesTheDecidingRuleAndAllMatchedOnes) {
  Explained allowed(
      OneSet({R("a", Effect::kAllow, {Id(Is(kWeb))}), R("b", Effect::kAllow, Subject::kMesh)}),
      Get());
  EXPECT_EQ(allowed->deciding->Name(), "shop/orders/a");
  EXPECT_EQ(allowed->matched.size(), 2U);
  EXPECT_FALSE(allowed->nearest_miss.has_value());
  EXPECT_NE(allowed->Text().find("Allowed by rule shop/orders/a"), std::string::npos);
  EXPECT_NE(allowed->Text().find("shop/orders/b"), std::string::npos);
}

TEST(ExplainTest, ADenyNamesTheNearestAllowAndItsFirstFailedField) {
  struct {
    const char* name;
    std::string_view caller, method, path;
    uint32_t rule;
    Field field;
    std::string expected, actual;
  } const kRows[] = {
      {"wrong method", kWeb, "DELETE", "/orders/7", 0, Field::kMethod, "one of GET, HEAD",
       "\"DELETE\""},
      {"wrong path", kWeb, "GET", "/admin", 0, Field::kPath, "under /orders", "\"/admin\""},
      {"wrong caller", kPartner, "GET", "/orders", 0, Field::kId, std::string(kWeb),
       Concat("\"", kPartner, "\"")},
      {"no caller", "", "GET", "/orders", 0, Field::kId, std::string(kWeb), "absent"},
      {"no header", kMobile, "POST", "/orders", 1, Field::kHeader, "re2 [a-z]+", "absent"},
  };
  for (const auto& row : kRows) {
    CanonicalRequest request = Get(row.path, row.caller);
    request.method = row.method;
    Explained denied(OneSet(ShopRules()), request);
    ASSERT_TRUE(denied->nearest_miss.has_value()) << row.name;
    EXPECT_EQ(denied->nearest_miss->rule.Name(),
              row.rule == 0 ? "shop/orders/reads" : "shop/orders/writes")
        << row.name;
    EXPECT_EQ(denied->nearest_miss->field, row.field) << row.name;
    EXPECT_EQ(denied->nearest_miss->expected, row.expected) << row.name;
    EXPECT_EQ(denied->nearest_miss->actual, row.actual) << row.name;
    EXPECT_EQ(denied.nearest().rule, row.rule) << row.name;
    EXPECT_EQ(denied.nearest().field, row.field) << row.name;
    EXPECT_EQ(denied.nearest().key, row.field == Field::kHeader ? "x-tenant" : "") << row.name;
    EXPECT_NE(denied->Text().find(denied->nearest_miss->expected), std::string::npos) << row.name;
  }
}

TEST(ExplainTest, AnExceptionAWordAndAKindOfConnectionCanBeWhatFailed) {
  Explained excepted(
      OneSet(
          {R("r", Effect::kAllow,
             {E({On(Field::kId, Is(kWeb))}, {{On(Field::kPeerIp, Cidr(V4(10, 0, 0, 0), 8))}})})}),
      Get());
  EXPECT_EQ(excepted->nearest_miss->field, Field::kPeerIp);
  EXPECT_EQ(excepted->nearest_miss->expected, "not 10.0.0.0/8");
  EXPECT_EQ(excepted->nearest_miss->actual, "10.1.2.3");
  Explained anonymous(OneSet({R("r", Effect::kAllow, Subject::kAuthenticated)}), Get("/", ""));
  EXPECT_EQ(anonymous->nearest_miss->field, Field::kId);
  Explained foreign(OneSet({R("r", Effect::kAllow, Subject::kMesh)}), Get("/", kPartner));
  EXPECT_EQ(foreign->nearest_miss->field, Field::kTrustDomain);
  Explained tcp(OneSet(ShopRules()), Tcp());
  EXPECT_EQ(tcp->nearest_miss->field, Field::kProtocol);
}

TEST(ExplainTest, TrialAndExpiredAllowsAreNotNear) {
  AccessPolicy trial = P("t", {R("yes", Effect::kAllow, {Id(Is(kMobile))})});
  trial.dry_run = true;
  Rule expired = R("old", Effect::kAllow, {Id(Is(kMobile))});
  expired.expires = WallTime(std::chrono::seconds(5));
  Explained denied(Sets({S("s", {trial, P("p", {expired})})}), Get(),
                   WallTime(std::chrono::seconds(5)));
  EXPECT_FALSE(denied->nearest_miss.has_value());
  EXPECT_EQ(denied.nearest().rule, kNoRule);
}

// Where an allow matched and a deny won, or the request was refused before any rule, no allow that
// was missed is the cause.
TEST(ExplainTest, AnAllowThatMatchedIsNoMiss) {
  Rule both_ways = R("reads", Effect::kAllow, {Id(Is(kWeb)), E({On(Field::kSni, Is("else"))})},
                     {Path(Under("/orders"))});
  Rule elsewhere = R("elsewhere", Effect::kAllow, {Id(Is(kWeb))}, {Path(Under("/admin"))});
  Explained denied(OneSet({both_ways, elsewhere, R("no", Effect::kDeny, Subject::kAnyone)}), Get());
  EXPECT_EQ(denied->reason, Reason::kDenyRule);
  EXPECT_FALSE(denied->nearest_miss.has_value());
  EXPECT_EQ(denied.nearest().rule, kNoRule);

  const NameValue twice[] = {{"x-tenant", "a"}, {"x-tenant", "b"}};
  CanonicalRequest request = Get("/orders");
  request.headers = twice;
  Explained ambiguous(OneSet(ShopRules()), request);
  EXPECT_EQ(ambiguous->reason, Reason::kAmbiguousField);
  EXPECT_FALSE(ambiguous->nearest_miss.has_value());
}

TEST(ExplainTest, TheNearestFailsInTheFewestFields) {
  Explained denied(OneSet({R("two", Effect::kAllow, {Id(Is(kWeb))},
                             {E({On(Field::kMethod, Is("POST")), On(Field::kPath, Is("/x"))})}),
                           R("one", Effect::kAllow, {Id(Is(kMobile))}, {Path(Under("/orders"))})}),
                   Get());
  EXPECT_EQ(denied.nearest().rule, 1U);
}

TEST(ExplainTest, JsonHoldsTheSameAndSurvivesAnyByte) {
  Rule rule = ShopRules()[0];
  rule.where = {"policies/orders.yaml", 12, 3};
  CanonicalRequest request = Get("/orders\"\\\n\xff", kWeb);
  Explained denied(OneSet({rule}), request);
  auto json = nlohmann::json::parse(denied->Json());
  EXPECT_EQ(json["effect"], "deny");
  EXPECT_EQ(json["reason"], "no_rule_matched");
  EXPECT_EQ(json["nearestMiss"]["rule"]["rule"], "shop/orders/reads");
  EXPECT_EQ(json["nearestMiss"]["rule"]["line"], 12);
  EXPECT_EQ(json["nearestMiss"]["field"], "path");
  EXPECT_TRUE(json["deciding"].is_null());
  EXPECT_NE(denied->Text().find("policies/orders.yaml:12"), std::string::npos);
}

TEST(ExplainTest, SaysWhatTrialsWouldChange) {
  AccessPolicy trial = P("t", {R("no", Effect::kDeny, Subject::kAnyone)});
  trial.dry_run = true;
  Explained allowed(Sets({S("s", {P("p", {R("all", Effect::kAllow, Subject::kAnyone)}), trial})}),
                    Get());
  EXPECT_EQ(allowed->would_be, Effect::kDeny);
  EXPECT_NE(allowed->Text().find("With all trials ended it would be: deny"), std::string::npos);
}

}  // namespace
}  // namespace countersign::authz::testing
