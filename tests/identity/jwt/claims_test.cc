#include <gtest/gtest.h>

#include "identity/jwt/limits.h"
#include "tests/identity/jwt/jwt_fixture.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;

class ClaimsTest : public testing::Test {
 protected:
  // Values are those of `path` in a token with this claim beside the good ones.
  std::vector<std::string> Values(std::string_view claim_text, std::string_view path) const {
    std::string claims = GoodClaims().dump();
    claims.pop_back();
    TokenResult result = verifier_.Verify(
        issuer_.SignText(issuer_.Header().dump(), Concat(claims, ",", claim_text, "}")), TestNow());
    EXPECT_TRUE(result.ok()) << claim_text << ": " << ErrorOf(result);
    std::vector<std::string> values;
    if (result.ok()) {
      for (const Claim& claim : result.token().claims()) {
        if (claim.path == path) {
          values.push_back(claim.value);
        }
      }
    }
    return values;
  }

  TestIssuer issuer_;
  JwtVerifier verifier_ = VerifierOf(Trusted(issuer_.Keys()));
};

using Texts = std::vector<std::string>;

TEST_F(ClaimsTest, EveryClaimIsThereAsTextSortedByPath) {
  TokenResult result = verifier_.Verify(issuer_.Sign(GoodClaims()), TestNow());
  ASSERT_TRUE(result.ok());
  std::string now = Concat(TestSeconds());
  std::vector<Claim> expected = {{"aud", "orders"}, {"exp", Concat(TestSeconds() + 300)},
                                 {"iat", now},      {"iss", kLogin},
                                 {"nbf", now},      {"sub", "ana"}};
  EXPECT_EQ(result.token().claims(), expected);
}

TEST_F(ClaimsTest, ValuesHaveOneTextEach) {
  struct Row {
    const char* json;
    Texts values;
  };
  const Row kRows[] = {
      {R"("x")", {"x"}},
      {R"("")", {""}},
      {R"("a b")", {"a b"}},
      {R"("\u00e9")", {"\xc3\xa9"}},
      {R"("\u0000")", {std::string(1, '\0')}},
      {"true", {"true"}},
      {"false", {"false"}},
      {"0", {"0"}},
      {"-0", {"0"}},
      {"-0.0", {"0"}},
      {"7", {"7"}},
      {"7.0", {"7"}},
      {"70e-1", {"7"}},
      {"7e0", {"7"}},
      {"-7", {"-7"}},
      {"1.5", {"1.5"}},
      {"0.1", {"0.1"}},
      {"18446744073709551615", {"18446744073709551615"}},
      {"9007199254740993", {"9007199254740993"}},
      {"1e300", {"1e+300"}},
      {"null", {}},
      {"[]", {}},
      {"{}", {}},
      {R"(["a","b","a"])", {"a", "b", "a"}},
      {R"(["a",1,true,null,["n"],{"o":1}])", {"a", "1", "true"}},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(Values(Concat("\"c\":", row.json), "c"), row.values) << row.json;
  }
}

TEST_F(ClaimsTest, MembersOfObjectsAreReachedByAPathWithDots) {
  constexpr std::string_view kClaim = R"("realm":{"roles":["a","b"],"deep":{"er":7}})";
  EXPECT_EQ(Values(kClaim, "realm.roles"), (Texts{"a", "b"}));
  EXPECT_EQ(Values(kClaim, "realm.deep.er"), Texts{"7"});
  EXPECT_EQ(Values(kClaim, "realm"), Texts{});
  EXPECT_EQ(Values(kClaim, "roles"), Texts{});
  EXPECT_EQ(Values(R"("https://example.com/roles":["x"])", "https://example.com/roles"),
            Texts{"x"});
}

TEST_F(ClaimsTest, ScopeIsSplitAtSpacesAndNothingElseIs) {
  EXPECT_EQ(Values(R"("scope":"read write  admin")", "scope"), (Texts{"read", "write", "admin"}));
  EXPECT_EQ(Values(R"("scope":" read ")", "scope"), Texts{"read"});
  EXPECT_EQ(Values(R"("scope":"read\twrite")", "scope"), Texts{"read\twrite"});
  EXPECT_EQ(Values(R"("scope":" ")", "scope"), Texts{});
  EXPECT_EQ(Values(R"("scope":"")", "scope"), Texts{});
  EXPECT_EQ(Values(R"("scope":["read write","admin"])", "scope"), (Texts{"read write", "admin"}));
  EXPECT_EQ(Values(R"("scp":"read write")", "scp"), Texts{"read write"});
  EXPECT_EQ(Values(R"("r":{"scope":"a b"})", "r.scope"), Texts{"a b"});
}

// Whoever controls one of two places with one path must not be able to speak for the other.
TEST_F(ClaimsTest, TwoPlacesOfOnePathRefuseTheTokenInEveryForm) {
  for (std::string_view claims :
       {R"("a.b":"x","a":{"b":"y"})", R"("a.b":[],"a":{"b":"y"})", R"("a.b":null,"a":{"b":"y"})",
        R"("a.b":{"c":1},"a":{"b":"y"})", R"("a.b":{"c":1},"a":{"b":{"c":2}})",
        R"("a.b.c":1,"a":{"b":{"c":2}})", R"("a.b.c":1,"a":{"b.c":2})"}) {
    std::string good = GoodClaims().dump();
    good.pop_back();
    TokenResult result = verifier_.Verify(
        issuer_.SignText(issuer_.Header().dump(), Concat(good, ",", claims, "}")), TestNow());
    EXPECT_EQ(ErrorOf(result), "ambiguous_claim") << claims;
  }
}

TEST_F(ClaimsTest, TheLimitOfValuesIsReachedByAListAsByScopes) {
  Json claims = GoodClaims();
  size_t room = JwtLimits::kClaimValuesMax - claims.size();
  claims["groups"] = Json(room, "g");
  EXPECT_EQ(ErrorOf(verifier_.Verify(issuer_.Sign(claims), TestNow())), "good");
  claims["scope"] = "one";
  EXPECT_EQ(ErrorOf(verifier_.Verify(issuer_.Sign(claims), TestNow())), "too_many_claims");
}

}  // namespace
}  // namespace countersign::identity
