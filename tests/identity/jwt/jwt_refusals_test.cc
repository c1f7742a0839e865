// Every refusal of a token by its name, one broken rule a row.
#include <gtest/gtest.h>

#include <functional>

#include "base/crypto/base64.h"
#include "identity/jwt/limits.h"
#include "tests/identity/jwt/jwt_fixture.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;

class JwtRefusalsTest : public testing::Test {
 protected:
  std::string_view Verdict(std::string_view token) const {
    return ErrorOf(verifier_.Verify(token, TestNow()));
  }
  std::string_view WithHeader(const std::function<void(Json&)>& change) const {
    Json header = issuer_.Header();
    change(header);
    return Verdict(issuer_.Sign(header, GoodClaims()));
  }
  std::string_view WithClaims(const std::function<void(Json&)>& change) const {
    Json claims = GoodClaims();
    change(claims);
    return Verdict(issuer_.Sign(claims));
  }

  TestIssuer issuer_;
  JwtVerifier verifier_ = VerifierOf(Trusted(issuer_.Keys()));
};

TEST_F(JwtRefusalsTest, TheEnvelope) {
  const std::string good = issuer_.Sign(GoodClaims());
  ASSERT_EQ(Verdict(good), "good");
  const std::string head = good.substr(0, good.find('.'));
  const std::string body = good.substr(head.size() + 1, good.rfind('.') - head.size() - 1);
  const std::string tail = good.substr(good.rfind('.') + 1);
  struct Row {
    const char* name;
    std::string token;
    const char* verdict;
  };
  const Row kRows[] = {
      {"nothing", "", "not_compact_jws"},
      {"one part", head, "not_compact_jws"},
      {"two parts", head + "." + body, "not_compact_jws"},
      {"four parts", good + ".", "not_compact_jws"},
      {"five parts, as an encrypted one", head + "...." + tail, "not_compact_jws"},
      {"an empty signature", head + "." + body + ".", "not_compact_jws"},
      {"detached claims", head + ".." + tail, "not_compact_jws"},
      {"an empty header", "." + body + "." + tail, "malformed_header"},
      {"JSON serialisation", R"({"payload":"..","signatures":[]})", "bad_base64"},
      {"padding", head + "=." + body + "." + tail, "bad_base64"},
      {"a line break", head + ".\n" + body + "." + tail, "bad_base64"},
      {"the other alphabet", head + "." + body + "." + tail.substr(1) + "/", "bad_base64"},
      {"spare bits", good.substr(0, good.size() - 1) + (good.back() == 'B' ? "C" : "B"),
       "bad_base64"},
      {"a digit too many", head + "." + body + "." + tail + "AAA", "bad_base64"},
      {"too large", std::string(JwtLimits::kTokenBytesMax + 1, 'A'), "token_too_large"},
      {"as large as can be", std::string(JwtLimits::kTokenBytesMax, 'A'), "not_compact_jws"},
      {"two tokens", good + "," + good, "not_compact_jws"},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(Verdict(row.token), row.verdict) << row.name;
  }
}

TEST_F(JwtRefusalsTest, TheHeader) {
  struct Row {
    const char* name;
    std::function<void(Json&)> change;
    const char* verdict;
  };
  const Row kRows[] = {
      {"as it is", [](Json&) {}, "good"},
      {"alg none", [](Json& h) { h["alg"] = "none"; }, "algorithm_none"},
      {"alg None", [](Json& h) { h["alg"] = "None"; }, "algorithm_none"},
      {"alg nOnE", [](Json& h) { h["alg"] = "nOnE"; }, "algorithm_none"},
      {"alg HS256", [](Json& h) { h["alg"] = "HS256"; }, "symmetric_algorithm"},
      {"alg HS384", [](Json& h) { h["alg"] = "HS384"; }, "symmetric_algorithm"},
      {"alg HS512", [](Json& h) { h["alg"] = "HS512"; }, "symmetric_algorithm"},
      {"alg hs256", [](Json& h) { h["alg"] = "hs256"; }, "symmetric_algorithm"},
      {"alg of another case", [](Json& h) { h["alg"] = "es256"; }, "unknown_algorithm"},
      {"alg EdDSA", [](Json& h) { h["alg"] = "EdDSA"; }, "unknown_algorithm"},
      {"alg ES256K", [](Json& h) { h["alg"] = "ES256K"; }, "unknown_algorithm"},
      {"alg RSA-OAEP", [](Json& h) { h["alg"] = "RSA-OAEP"; }, "unknown_algorithm"},
      {"alg with a space", [](Json& h) { h["alg"] = "ES256 "; }, "unknown_algorithm"},
      {"alg empty", [](Json& h) { h["alg"] = ""; }, "unknown_algorithm"},
      {"no alg", [](Json& h) { h.erase("alg"); }, "malformed_header"},
      {"alg a number", [](Json& h) { h["alg"] = 1; }, "malformed_header"},
      {"alg a list", [](Json& h) { h["alg"] = {"ES256"}; }, "malformed_header"},
      {"kid a number", [](Json& h) { h["kid"] = 1; }, "malformed_header"},
      {"kid empty", [](Json& h) { h["kid"] = ""; }, "malformed_header"},
      {"kid unknown", [](Json& h) { h["kid"] = "key-2"; }, "unknown_key_id"},
      {"kid a path", [](Json& h) { h["kid"] = "../../dev/null"; }, "unknown_key_id"},
      {"kid of another case", [](Json& h) { h["kid"] = "KEY-1"; }, "unknown_key_id"},
      {"crit", [](Json& h) { h["crit"] = {"exp"}; }, "forbidden_header"},
      {"crit empty", [](Json& h) { h["crit"] = Json::array(); }, "forbidden_header"},
      {"jku", [](Json& h) { h["jku"] = "https://evil.example"; }, "forbidden_header"},
      {"x5u", [](Json& h) { h["x5u"] = "https://evil.example"; }, "forbidden_header"},
      {"x5c", [](Json& h) { h["x5c"] = Json::array(); }, "forbidden_header"},
      {"x5t", [](Json& h) { h["x5t"] = "AA"; }, "forbidden_header"},
      {"jwk", [&](Json& h) { h["jwk"] = issuer_.Jwk(); }, "forbidden_header"},
      {"b64", [](Json& h) { h["b64"] = false; }, "forbidden_header"},
      {"zip", [](Json& h) { h["zip"] = "DEF"; }, "forbidden_header"},
      {"cty", [](Json& h) { h["cty"] = "JWT"; }, "forbidden_header"},
      {"enc", [](Json& h) { h["enc"] = "A128GCM"; }, "forbidden_header"},
      {"ALG beside alg", [](Json& h) { h["ALG"] = "none"; }, "forbidden_header"},
      {"no typ", [](Json& h) { h.erase("typ"); }, "good"},
      {"typ at+jwt", [](Json& h) { h["typ"] = "at+jwt"; }, "good"},
      {"typ application/at+JWT", [](Json& h) { h["typ"] = "application/at+JWT"; }, "good"},
      {"typ jose", [](Json& h) { h["typ"] = "JOSE"; }, "good"},
      {"typ of a proof", [](Json& h) { h["typ"] = "dpop+jwt"; }, "wrong_type"},
      {"typ of a WIT-SVID", [](Json& h) { h["typ"] = "wit+jwt"; }, "wrong_type"},
      {"typ of a logout", [](Json& h) { h["typ"] = "logout+jwt"; }, "wrong_type"},
      {"typ empty", [](Json& h) { h["typ"] = ""; }, "wrong_type"},
      {"typ a number", [](Json& h) { h["typ"] = 1; }, "malformed_header"},
      {"too large", [](Json& h) { h["kid"] = std::string(JwtLimits::kHeaderBytesMax, 'k'); },
       "malformed_header"},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(WithHeader(row.change), row.verdict) << row.name;
  }
  const std::string claims = GoodClaims().dump();
  EXPECT_EQ(Verdict(issuer_.SignText(R"({"alg":"none","alg":"ES256","kid":"key-1"})", claims)),
            "malformed_header");
  for (std::string_view header : {"", "[]", "null", "\"ES256\"", "{", R"({"alg":"ES256"}x)"}) {
    EXPECT_EQ(Verdict(issuer_.SignText(header, claims)), "malformed_header") << header;
  }
}

TEST_F(JwtRefusalsTest, TheClaims) {
  const int64_t now = TestSeconds();
  struct Row {
    const char* name;
    std::function<void(Json&)> change;
    const char* verdict;
  };
  const Row kRows[] = {
      {"as they are", [](Json&) {}, "good"},
      {"no iss", [](Json& c) { c.erase("iss"); }, "no_issuer"},
      {"another iss", [](Json& c) { c["iss"] = "https://evil.example"; }, "unknown_issuer"},
      {"iss with a slash more", [](Json& c) { c["iss"] = Concat(kLogin, "/"); }, "unknown_issuer"},
      {"iss of another case", [](Json& c) { c["iss"] = "https://Login.example"; },
       "unknown_issuer"},
      {"iss empty", [](Json& c) { c["iss"] = ""; }, "unknown_issuer"},
      {"iss a list", [](Json& c) { c["iss"] = {kLogin}; }, "wrong_claim_type"},
      {"iss null", [](Json& c) { c["iss"] = nullptr; }, "wrong_claim_type"},
      {"no sub", [](Json& c) { c.erase("sub"); }, "good"},
      {"sub a number", [](Json& c) { c["sub"] = 7; }, "wrong_claim_type"},
      {"no aud", [](Json& c) { c.erase("aud"); }, "no_audience"},
      {"another aud", [](Json& c) { c["aud"] = "billing"; }, "wrong_audience"},
      {"aud as a prefix", [](Json& c) { c["aud"] = "order"; }, "wrong_audience"},
      {"aud with more", [](Json& c) { c["aud"] = "orders2"; }, "wrong_audience"},
      {"aud of another case", [](Json& c) { c["aud"] = "Orders"; }, "wrong_audience"},
      {"aud empty", [](Json& c) { c["aud"] = ""; }, "wrong_audience"},
      {"aud empty list", [](Json& c) { c["aud"] = Json::array(); }, "no_audience"},
      {"aud list with ours",
       [](Json& c) {
         c["aud"] = {"x", "orders"};
       },
       "good"},
      {"aud list without ours",
       [](Json& c) {
         c["aud"] = {"x", "y"};
       },
       "wrong_audience"},
      {"aud list with a number",
       [](Json& c) {
         c["aud"] = Json::array({"orders", 7});
       },
       "wrong_claim_type"},
      {"aud an object",
       [](Json& c) {
         c["aud"] = {{"orders", true}};
       },
       "wrong_claim_type"},
      {"aud null", [](Json& c) { c["aud"] = nullptr; }, "wrong_claim_type"},
      {"no exp", [](Json& c) { c.erase("exp"); }, "no_expiry"},
      {"exp past", [now](Json& c) { c["exp"] = now - 3600; }, "expired"},
      {"exp zero", [](Json& c) { c["exp"] = 0; }, "expired"},
      {"exp a text", [now](Json& c) { c["exp"] = Concat(now + 300); }, "wrong_claim_type"},
      {"exp null", [](Json& c) { c["exp"] = nullptr; }, "wrong_claim_type"},
      {"exp true", [](Json& c) { c["exp"] = true; }, "wrong_claim_type"},
      {"exp negative", [](Json& c) { c["exp"] = -1; }, "wrong_claim_type"},
      {"exp beyond the year 9999", [](Json& c) { c["exp"] = 253402300800; }, "wrong_claim_type"},
      {"exp huge", [](Json& c) { c["exp"] = 1e300; }, "wrong_claim_type"},
      {"exp in milliseconds", [now](Json& c) { c["exp"] = now * 1000; }, "wrong_claim_type"},
      {"nbf ahead", [now](Json& c) { c["nbf"] = now + 3600; }, "not_yet_valid"},
      {"nbf a text", [](Json& c) { c["nbf"] = "0"; }, "wrong_claim_type"},
      {"iat ahead", [now](Json& c) { c["iat"] = now + 3600; }, "issued_in_future"},
      {"iat a text", [](Json& c) { c["iat"] = "0"; }, "wrong_claim_type"},
      {"no nbf and iat", [](Json& c) { c.erase("nbf"), c.erase("iat"); }, "good"},
      {"two claims of one path",
       [](Json& c) {
         c["a.b"] = "x", c["a"] = {{"b", "y"}};
       },
       "ambiguous_claim"},
      {"too many values", [](Json& c) { c["g"] = Json(JwtLimits::kClaimValuesMax, "g"); },
       "too_many_claims"},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(WithClaims(row.change), row.verdict) << row.name;
  }
  const std::string header = issuer_.Header().dump();
  for (std::string_view claims :
       {"[]", "null", "7", "\"x\"", "{", "{}x", R"({"iss":"a","iss":"b"})",
        R"({"a":[[[[[[[[1]]]]]]]]})", R"({"exp":99999999999999999999})"}) {
    EXPECT_EQ(Verdict(issuer_.SignText(header, claims)), "malformed_claims") << claims;
  }
}

// What an attacker can do who has the public keys and no private one.
TEST_F(JwtRefusalsTest, ForgeriesWithPublicKnowledge) {
  TestIssuer evil;
  EXPECT_EQ(Verdict(evil.Sign(GoodClaims())), "bad_signature");
  Json claims = GoodClaims();
  claims["iss"] = "https://evil.example";
  EXPECT_EQ(Verdict(evil.Sign(claims)), "unknown_issuer");
  // The unsigned token in its usual spelling.
  EXPECT_EQ(Verdict(Concat(Base64UrlEncode(R"({"alg":"none"})"), ".",
                           Base64UrlEncode(GoodClaims().dump()), ".")),
            "algorithm_none");
  // The claims of one good token under the signature of another.
  claims = GoodClaims();
  claims["sub"] = "root";
  std::string good = issuer_.Sign(GoodClaims());
  std::string other = evil.Sign(claims);
  EXPECT_EQ(Verdict(other.substr(0, other.rfind('.')) + good.substr(good.rfind('.'))),
            "bad_signature");
}

TEST_F(JwtRefusalsTest, ATokenWithoutKidNeedsExactlyOneKeyThatFits) {
  Json header = issuer_.Header();
  header.erase("kid");
  std::string token = issuer_.Sign(header, GoodClaims());
  EXPECT_EQ(Verdict(token), "good");
  TestIssuer second;
  TestIssuer rsa(JwsAlgorithm::kRs256);
  auto verdict = [&](Json extra) {
    extra["kid"] = "key-2";
    Json document = {{"keys", Json::array({issuer_.Jwk(), extra})}};
    auto keys = Jwks::Parse(document.dump(), JwkProfile::kSignature);
    CHECK(keys.ok());
    return ErrorOf(
        VerifierOf(Trusted(std::make_shared<const Jwks>(*keys))).Verify(token, TestNow()));
  };
  EXPECT_EQ(verdict(rsa.Jwk()), "good");
  EXPECT_EQ(verdict(second.Jwk()), "no_key_id");
}

TEST_F(JwtRefusalsTest, ARefusalNamesWhatTheLogMaySayAndNothingMore) {
  Json header = issuer_.Header();
  header["kid"] = "key-2";
  TokenResult unknown_key = verifier_.Verify(issuer_.Sign(header, GoodClaims()), TestNow());
  EXPECT_EQ(unknown_key.claimed_issuer(), kLogin);
  EXPECT_EQ(unknown_key.unknown_kid(), "key-2");
  Json claims = GoodClaims();
  claims["aud"] = "billing";
  TokenResult wrong = verifier_.Verify(issuer_.Sign(claims), TestNow());
  EXPECT_EQ(wrong.claimed_issuer(), kLogin);
  EXPECT_EQ(wrong.unknown_kid(), "");
}

}  // namespace
}  // namespace countersign::identity
