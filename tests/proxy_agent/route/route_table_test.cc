// Routes: the first rule whose conditions hold, in the policy language's own meaning.
#include "proxy_agent/route/route_table.h"

#include <gtest/gtest.h>

namespace countersign::proxy {
namespace {

using authz::Condition;
using authz::Field;
using authz::Matcher;
using std::chrono::seconds;
using Result = RouteMatch::Result;

Condition Is(Field field, Matcher::Kind kind, const std::string& text,
             const std::string& key = "") {
  Condition condition;
  condition.field = field;
  condition.key = key;
  condition.any_of = {{.kind = kind, .text = text, .range = {}}};
  return condition;
}

authz::RouteRule Rule(std::vector<Condition> match, std::chrono::nanoseconds timeout) {
  authz::RouteRule rule;
  rule.match = std::move(match);
  rule.request_timeout = timeout;
  return rule;
}

authz::Route Orders(std::vector<authz::RouteRule> rules) {
  authz::Route route;
  route.name = "orders-route";
  route.service = "orders";
  route.rules = std::move(rules);
  return route;
}

class RouteTableTest : public testing::Test {
 protected:
  void Compile(std::vector<authz::Route> routes) {
    auto table = RouteTable::Compile(routes);
    ASSERT_TRUE(table.ok()) << table.status();
    table_ = *table;
    scratch_.emplace(*table_);
  }
  RouteMatch Find(const std::string& service, const std::string& method, const std::string& path,
                  std::vector<authz::NameValue> headers = {}) {
    authz::CanonicalRequest request;
    request.kind = authz::RequestKind::kHttp;
    request.callee = "spiffe://shop.example/orders";
    request.caller = "spiffe://shop.example/web";
    request.port = 8443;
    request.method = method;
    request.path = path;
    request.host = "orders";
    request.headers = headers;
    return table_->Find(service, request, WallTime(), *scratch_);
  }
  // The request time-out of the rule that was found, in seconds, names the rule.
  int64_t Found(const RouteMatch& match) {
    return match.result == Result::kRule
               ? std::chrono::duration_cast<seconds>(match.rule->timeouts.request).count()
               : -1;
  }

  std::shared_ptr<const RouteTable> table_;
  std::optional<RouteScratch> scratch_;
};

TEST_F(RouteTableTest, TheFirstRuleThatMatchesApplies) {
  Compile({Orders({Rule({Is(Field::kPath, Matcher::Kind::kUnder, "/orders"),
                         Is(Field::kMethod, Matcher::Kind::kExact, "GET")},
                        seconds(1)),
                   Rule({Is(Field::kPath, Matcher::Kind::kUnder, "/orders")}, seconds(2)),
                   Rule({Is(Field::kPath, Matcher::Kind::kRe2, "/(a|b)+")}, seconds(3))})});
  EXPECT_EQ(Found(Find("orders", "GET", "/orders/7")), 1);
  EXPECT_EQ(Found(Find("orders", "POST", "/orders/7")), 2);
  EXPECT_EQ(Found(Find("orders", "GET", "/abba")), 3);
  EXPECT_EQ(Find("orders", "GET", "/ordersx").result, Result::kNoRule);
  EXPECT_EQ(Find("orders", "GET", "/abbaX").result, Result::kNoRule) << "patterns match in full";
}

TEST_F(RouteTableTest, ARuleWithoutConditionsMatchesEverything) {
  Compile({Orders({Rule({Is(Field::kMethod, Matcher::Kind::kExact, "GET")}, seconds(1)),
                   Rule({}, seconds(2))})});
  EXPECT_EQ(Found(Find("orders", "GET", "/")), 1);
  EXPECT_EQ(Found(Find("orders", "DELETE", "/x")), 2);
  Compile({Orders({Rule({}, seconds(4)), Rule({}, seconds(5))})});
  EXPECT_EQ(Found(Find("orders", "GET", "/")), 4);
}

TEST_F(RouteTableTest, AHeaderThatOccursTwiceIsAmbiguous) {
  Compile({Orders(
      {Rule({Is(Field::kHeader, Matcher::Kind::kExact, "new", "x-version")}, seconds(1))})});
  EXPECT_EQ(Found(Find("orders", "GET", "/", {{"x-version", "new"}})), 1);
  EXPECT_EQ(Find("orders", "GET", "/", {{"x-version", "old"}}).result, Result::kNoRule);
  EXPECT_EQ(Find("orders", "GET", "/", {{"x-version", "new"}, {"x-version", "old"}}).result,
            Result::kAmbiguous);
}

TEST_F(RouteTableTest, AServiceWithoutARouteHasTheDefaults) {
  Compile({});
  const RouteMatch match = Find("billing", "GET", "/");
  ASSERT_EQ(match.result, Result::kRule);
  EXPECT_EQ(match.rule->timeouts.request, seconds(15));
  EXPECT_EQ(match.rule->split.Pick(0), "");
  AttemptOutcome outcome;
  EXPECT_EQ(match.rule->retry.Judge("POST", outcome), RetryVerdict::kRetry);
  outcome.bytes_sent = true;
  outcome.failure = AttemptFailure::kResetBeforeResponse;
  EXPECT_EQ(match.rule->retry.Judge("GET", outcome), RetryVerdict::kConditionNotListed);
}

TEST_F(RouteTableTest, ServicesDoNotShareRules) {
  authz::Route billing =
      Orders({Rule({Is(Field::kPath, Matcher::Kind::kExact, "/b")}, seconds(9))});
  billing.name = "billing-route";
  billing.service = "billing";
  Compile({Orders({Rule({Is(Field::kPath, Matcher::Kind::kExact, "/a")}, seconds(8))}), billing});
  EXPECT_EQ(Found(Find("orders", "GET", "/a")), 8);
  EXPECT_EQ(Find("orders", "GET", "/b").result, Result::kNoRule);
  EXPECT_EQ(Found(Find("billing", "GET", "/b")), 9);
}

TEST(RouteTableCompileTest, RefusesTwoRoutesForOneService) {
  const std::vector<authz::Route> routes = {Orders({Rule({}, seconds(1))}),
                                            Orders({Rule({}, seconds(2))})};
  const auto table = RouteTable::Compile(routes);
  ASSERT_FALSE(table.ok());
  EXPECT_NE(Message(table.status()).find("has another route"), std::string_view::npos);
}

TEST(RouteTableCompileTest, RefusesAPatternThatTheEngineRefuses) {
  const std::vector<authz::Route> routes = {
      Orders({Rule({Is(Field::kPath, Matcher::Kind::kRe2, "(")}, seconds(1))})};
  EXPECT_FALSE(RouteTable::Compile(routes).ok());
}

}  // namespace
}  // namespace countersign::proxy
