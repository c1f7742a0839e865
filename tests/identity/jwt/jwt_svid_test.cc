#include "identity/jwt/jwt_svid.h"

#include <gtest/gtest.h>

#include <functional>

#include "identity/jwt/limits.h"
#include "tests/identity/jwt/jwt_fixture.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

class JwtSvidTest : public testing::Test {
 protected:
  // JWT-SVID section 3: these three are all that a token needs.
  static Json Claims() {
    return {{"sub", "spiffe://shop.example/ns/prod/sa/web"},
            {"aud", {"orders", "billing"}},
            {"exp", TestSeconds() + 300}};
  }
  std::string_view Verdict(std::string_view token, std::string_view audience = "orders") const {
    JwtSvidResult result = verifier_.Verify(token, {audience}, TestNow());
    return result.ok() ? "good" : TokenErrorName(result.error());
  }

  TestIssuer shop_;
  TestIssuer partner_;
  JwtSvidVerifier verifier_{{{"shop.example", shop_.SvidKeys()},
                             {"partner.example", partner_.SvidKeys()},
                             {"gone.example", nullptr}}};
};

TEST_F(JwtSvidTest, AGoodOneNamesItsWorkload) {
  JwtSvidResult result = verifier_.Verify(shop_.Sign(Claims()), {"billing"}, TestNow());
  ASSERT_TRUE(result.ok()) << TokenErrorName(result.error());
  EXPECT_EQ(result.svid().id().str(), "spiffe://shop.example/ns/prod/sa/web");
  EXPECT_EQ(result.svid().audiences(), (std::vector<std::string>{"orders", "billing"}));
  EXPECT_EQ(result.svid().not_after(), TestNow() + 300s + JwtLimits::kLeeway);
}

TEST_F(JwtSvidTest, EveryRuleOfTheProfileIsHeld) {
  struct Row {
    const char* name;
    std::function<void(Json& header, Json& claims)> change;
    const char* verdict;
  };
  const Row kRows[] = {
      {"as it is", [](Json&, Json&) {}, "good"},
      {"iss is not read", [](Json&, Json& c) { c["iss"] = "https://anybody.example"; }, "good"},
      {"typ JOSE", [](Json& h, Json&) { h["typ"] = "JOSE"; }, "good"},
      {"no typ", [](Json& h, Json&) { h.erase("typ"); }, "good"},
      {"typ jwt", [](Json& h, Json&) { h["typ"] = "jwt"; }, "wrong_type"},
      {"typ at+jwt", [](Json& h, Json&) { h["typ"] = "at+jwt"; }, "wrong_type"},
      {"typ wit+jwt", [](Json& h, Json&) { h["typ"] = "wit+jwt"; }, "wrong_type"},
      {"another header", [](Json& h, Json&) { h["x5t"] = "AA"; }, "forbidden_header"},
      {"alg none", [](Json& h, Json&) { h["alg"] = "none"; }, "algorithm_none"},
      {"alg HS256", [](Json& h, Json&) { h["alg"] = "HS256"; }, "symmetric_algorithm"},
      {"no kid and one key", [](Json& h, Json&) { h.erase("kid"); }, "good"},
      {"unknown kid", [](Json& h, Json&) { h["kid"] = "key-9"; }, "unknown_key_id"},
      {"no sub", [](Json&, Json& c) { c.erase("sub"); }, "bad_spiffe_id"},
      {"sub a person", [](Json&, Json& c) { c["sub"] = "ana"; }, "bad_spiffe_id"},
      {"sub a number", [](Json&, Json& c) { c["sub"] = 7; }, "bad_spiffe_id"},
      {"sub a domain", [](Json&, Json& c) { c["sub"] = "spiffe://shop.example"; }, "bad_spiffe_id"},
      {"sub not canonical", [](Json&, Json& c) { c["sub"] = "spiffe://Shop.example/a"; },
       "bad_spiffe_id"},
      {"sub of an unknown domain", [](Json&, Json& c) { c["sub"] = "spiffe://evil.example/a"; },
       "unknown_trust_domain"},
      {"sub of a domain without keys", [](Json&, Json& c) { c["sub"] = "spiffe://gone.example/a"; },
       "no_keys"},
      {"no aud", [](Json&, Json& c) { c.erase("aud"); }, "no_audience"},
      {"aud a text", [](Json&, Json& c) { c["aud"] = "orders"; }, "good"},
      {"aud of others", [](Json&, Json& c) { c["aud"] = {"billing"}; }, "wrong_audience"},
      {"no exp", [](Json&, Json& c) { c.erase("exp"); }, "no_expiry"},
      {"exp past", [](Json&, Json& c) { c["exp"] = TestSeconds() - 60; }, "expired"},
      {"two claims of one path",
       [](Json&, Json& c) {
         c["a.b"] = 1, c["a"] = {{"b", 2}};
       },
       "ambiguous_claim"},
  };
  for (const Row& row : kRows) {
    Json header = shop_.Header();
    Json claims = Claims();
    row.change(header, claims);
    EXPECT_EQ(Verdict(shop_.Sign(header, claims)), row.verdict) << row.name;
  }
}

// JWT-SVID section 4: a domain's keys speak for that domain's workloads alone.
TEST_F(JwtSvidTest, OnlyTheBundleOfTheSubjectsOwnDomainCounts) {
  Json claims = Claims();
  EXPECT_EQ(Verdict(partner_.Sign(claims)), "bad_signature");
  claims["sub"] = "spiffe://partner.example/a";
  EXPECT_EQ(Verdict(partner_.Sign(claims)), "good");
  EXPECT_EQ(Verdict(shop_.Sign(claims)), "bad_signature");
}

TEST_F(JwtSvidTest, AValidatorWithoutANameAcceptsNothing) {
  Json claims = Claims();
  claims["aud"] = {"", "orders"};
  EXPECT_EQ(Verdict(shop_.Sign(claims), ""), "wrong_audience");
}

}  // namespace
}  // namespace countersign::identity
