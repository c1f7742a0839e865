#include "identity/jwt/jwks.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <functional>

#include "base/crypto/base64.h"
#include "identity/jwt/limits.h"
#include "tests/support/test_issuer.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;

StatusOr<Jwks> Parse(const Json& keys, JwkProfile profile = JwkProfile::kSignature) {
  StatusOr<Jwks> jwks = Jwks::Parse(Json{{"keys", keys}}.dump(), profile);
  EXPECT_EQ(ERR_peek_error(), 0u);
  return jwks;
}

// What becomes of one key: "used", why it is ignored, or why the whole set is refused.
std::string Fate(const Json& key, JwkProfile profile = JwkProfile::kSignature) {
  StatusOr<Jwks> jwks = Parse(Json::array({key}), profile);
  if (!jwks.ok()) {
    return Concat("refused: ", Message(jwks.status()));
  }
  return jwks->ignored().empty() ? "used" : Concat("ignored: ", jwks->ignored().front());
}

TEST(JwksTest, KeysOfEveryKindAreRead) {
  struct Row {
    JwsAlgorithm algorithm;
    KeyType type;
  };
  for (const Row& row : {Row{JwsAlgorithm::kRs256, KeyType::kRsa},
                         {JwsAlgorithm::kEs256, KeyType::kP256},
                         {JwsAlgorithm::kEs384, KeyType::kP384},
                         {JwsAlgorithm::kEs512, KeyType::kP521}}) {
    StatusOr<Jwks> jwks = Parse(Json::array({TestIssuer(row.algorithm).Jwk()}));
    ASSERT_TRUE(jwks.ok()) << jwks.status();
    ASSERT_EQ(jwks->keys().size(), 1u);
    EXPECT_EQ(jwks->keys()[0].type, row.type);
    EXPECT_EQ(jwks->Find("key-1"), jwks->keys().data());
    EXPECT_EQ(jwks->Find("key-2"), nullptr);
    EXPECT_EQ(jwks->FindOnly(row.algorithm), jwks->keys().data());
  }
}

struct FateRow {
  const char* name;
  std::function<void(Json&)> change;
  const char* fate;  // A part of it.
};

void CheckFates(const Json& good, JwkProfile profile, const std::vector<FateRow>& rows) {
  for (const FateRow& row : rows) {
    Json key = good;
    row.change(key);
    EXPECT_NE(Fate(key, profile).find(row.fate), std::string::npos)
        << row.name << ": " << Fate(key, profile);
  }
}

TEST(JwksTest, WhatTheStandardLetsAReaderPassOverIsPassedOverWithItsReason) {
  Json small = TestIssuer(JwsAlgorithm::kRs256, TestKey(TestKey::Kind::kRsa1024)).Jwk();
  CheckFates(TestIssuer().Jwk(), JwkProfile::kSignature,
             {
                 {"as it is", [](Json&) {}, "used"},
                 {"no use", [](Json& k) { k.erase("use"); }, "used"},
                 {"no kid", [](Json& k) { k.erase("kid"); }, "used"},
                 {"use enc", [](Json& k) { k["use"] = "enc"; }, "use is not sig"},
                 {"use Sig", [](Json& k) { k["use"] = "Sig"; }, "use is not sig"},
                 {"use empty", [](Json& k) { k["use"] = ""; }, "use is not sig"},
                 {"use of an SVID", [](Json& k) { k["use"] = "jwt-svid"; }, "use is not sig"},
                 {"kty oct",
                  [](Json& k) {
                    k = {{"kty", "oct"}, {"k", "AAAA"}};
                  },
                  "its kty"},
                 {"kty OKP", [](Json& k) { k["kty"] = "OKP"; }, "its kty"},
                 {"kty ec", [](Json& k) { k["kty"] = "ec"; }, "its kty"},
                 {"no kty", [](Json& k) { k.erase("kty"); }, "its kty"},
                 {"another curve", [](Json& k) { k["crv"] = "secp256k1"; }, "its curve"},
                 {"no curve", [](Json& k) { k.erase("crv"); }, "its curve"},
                 {"alg of its own", [](Json& k) { k["alg"] = "ES256"; }, "used"},
                 {"alg of another curve", [](Json& k) { k["alg"] = "ES384"; }, "another kind"},
                 {"alg of RSA", [](Json& k) { k["alg"] = "RS256"; }, "another kind"},
                 {"alg HS256", [](Json& k) { k["alg"] = "HS256"; }, "its alg"},
                 {"alg empty", [](Json& k) { k["alg"] = ""; }, "its alg"},
                 {"key_ops", [](Json& k) { k["key_ops"] = {"verify"}; }, "used"},
                 {"key_ops of another", [](Json& k) { k["key_ops"] = {"wrapKey"}; }, "key_ops"},
                 {"key_ops empty", [](Json& k) { k["key_ops"] = Json::array(); }, "key_ops"},
                 {"members of others", [](Json& k) { k["x5t"] = "AA", k["more"] = 7; }, "used"},
                 {"a weak RSA key", [&](Json& k) { k = small; }, "RSA key is weak"},
             });
}

TEST(JwksTest, AKeyThatNobodyMeantToPublishRefusesTheWholeSet) {
  CheckFates(
      TestIssuer().Jwk(), JwkProfile::kSignature,
      {
          {"private", [](Json& k) { k["d"] = "AAAA"; },
           "refused: key set, key 1 (kid \"key-1\"): has the private member d"},
          {"off the curve", [](Json& k) { k["y"] = Base64UrlEncode(std::string(32, 'y')); },
           "refused"},
          {"the zero point",
           [](Json& k) { k["x"] = k["y"] = Base64UrlEncode(std::string(32, '\0')); }, "refused"},
          {"a short coordinate", [](Json& k) { k["x"] = Base64UrlEncode(std::string(31, 'x')); },
           "member x has 31 bytes; P-256 takes 32"},
          {"a long coordinate",
           [](Json& k) { k["x"] = Base64UrlEncode(std::string(1, '\0') + std::string(32, 'x')); },
           "member x has 33 bytes"},
          {"the curve of another key", [](Json& k) { k["crv"] = "P-384"; }, "takes 48"},
          {"no x", [](Json& k) { k.erase("x"); }, "member x is missing or empty"},
          {"x padded", [](Json& k) { k["x"] = k["x"].get<std::string>() + "="; }, "member x"},
          {"x a number", [](Json& k) { k["x"] = 7; }, "member x must be a string"},
          {"kid a number", [](Json& k) { k["kid"] = 7; }, "member kid must be a string"},
          {"kty a list", [](Json& k) { k["kty"] = {"EC"}; }, "member kty must be a string"},
          {"use null", [](Json& k) { k["use"] = nullptr; }, "member use must be a string"},
          {"key_ops a text", [](Json& k) { k["key_ops"] = "verify"; }, "key_ops must be an array"},
          {"kid too long",
           [](Json& k) { k["kid"] = std::string(JwtLimits::kKeyIdBytesMax + 1, 'k'); },
           "kid is larger"},
          {"not an object", [](Json& k) { k = "EC"; }, "it is not an object"},
      });
  CheckFates(TestIssuer(JwsAlgorithm::kRs256).Jwk(), JwkProfile::kSignature,
             {
                 {"as it is", [](Json&) {}, "used"},
                 {"private", [](Json& k) { k["p"] = "AAAA"; }, "has the private member p"},
                 {"more primes", [](Json& k) { k["oth"] = Json::array(); }, "private member oth"},
                 {"no n", [](Json& k) { k.erase("n"); }, "member n is missing"},
                 {"no e", [](Json& k) { k.erase("e"); }, "member e is missing"},
                 {"e is 1", [](Json& k) { k["e"] = "AQ"; }, "RSA key is weak"},
                 {"e is 2", [](Json& k) { k["e"] = "Ag"; }, "RSA key is weak"},
                 {"a zero before n",
                  [](Json& k) {
                    k["n"] = Base64UrlEncode(std::string(1, '\0') +
                                             *Base64UrlDecode(k["n"].get<std::string>()));
                  },
                  "member n begins with a zero byte"},
                 {"n even",
                  [](Json& k) {
                    std::string n = *Base64UrlDecode(k["n"].get<std::string>());
                    n.back() = static_cast<char>(n.back() & ~1);
                    k["n"] = Base64UrlEncode(n);
                  },
                  "member n is even"},
                 {"n too large", [](Json& k) { k["n"] = Base64UrlEncode(std::string(1025, 'n')); },
                  "limit of 8192 bits"},
             });
}

// JWT-SVID section 4 and SPIFFE bundle section 4.2.
TEST(JwksTest, OfASpiffeBundleTheJwtKeysCountAndNothingElse) {
  CheckFates(TestIssuer().Jwk("jwt-svid"), JwkProfile::kJwtSvid,
             {
                 {"as it is", [](Json&) {}, "used"},
                 {"x509", [](Json& k) { k["use"] = "x509-svid"; }, "use is not jwt-svid"},
                 {"wit", [](Json& k) { k["use"] = "wit-svid"; }, "use is not jwt-svid"},
                 {"sig", [](Json& k) { k["use"] = "sig"; }, "use is not jwt-svid"},
                 {"no use", [](Json& k) { k.erase("use"); }, "use is not jwt-svid"},
                 {"no kid", [](Json& k) { k.erase("kid"); }, "it has no kid"},
             });
  StatusOr<Jwks> hinted = Jwks::Parse(R"({"keys":[],"spiffe_refresh_hint":60,"spiffe_sequence":3})",
                                      JwkProfile::kJwtSvid);
  ASSERT_TRUE(hinted.ok());
  EXPECT_EQ(hinted->refresh_hint(), std::chrono::seconds(60));
}

TEST(JwksTest, TwoKeysOfOneKidRefuseTheSetUnlessOneIsNotForUs) {
  Json first = TestIssuer().Jwk();
  Json second = TestIssuer().Jwk();
  EXPECT_EQ(Message(Parse(Json::array({first, second})).status()),
            "key set has two keys with the kid \"key-1\"");
  EXPECT_FALSE(Parse(Json::array({first, first})).ok());
  second["use"] = "enc";
  EXPECT_TRUE(Parse(Json::array({first, second})).ok());
  first.erase("kid");
  second = TestIssuer().Jwk();
  second.erase("kid");
  StatusOr<Jwks> nameless = Parse(Json::array({first, second}));
  ASSERT_TRUE(nameless.ok());
  EXPECT_EQ(nameless->Find(""), nullptr);
  EXPECT_EQ(nameless->FindOnly(JwsAlgorithm::kEs256), nullptr);
}

TEST(JwksTest, ADocumentThatIsNoKeySetIsRefused) {
  for (std::string_view text :
       {"", "[]", "{}", "null", R"({"keys":{}})", R"({"keys":null})", R"({"keys":[],"keys":[]})",
        R"({"keys":[]}x)", R"({"Keys":[]})", R"({"keys":[],"spiffe_refresh_hint":-1})",
        R"({"keys":[],"spiffe_refresh_hint":"60"})",
        R"({"keys":[],"spiffe_refresh_hint":99999999999})"}) {
    EXPECT_FALSE(Jwks::Parse(text, JwkProfile::kSignature).ok()) << text;
  }
  EXPECT_TRUE(Jwks::Parse(R"({"keys":[],"more":{"a":[1]}})", JwkProfile::kSignature).ok());
  Json many = Json::array();
  for (size_t i = 0; i < JwtLimits::kJwksKeysMax; ++i) {
    many.push_back({{"kty", "oct"}});
  }
  EXPECT_TRUE(Parse(many).ok());
  many.push_back({{"kty", "oct"}});
  EXPECT_EQ(Parse(many).status().code(), StatusCode::kResourceExhausted);
}

TEST(JwksTest, AKeyWithAlgIsForThatAlgorithmAlone) {
  Json rsa = TestIssuer(JwsAlgorithm::kRs256).Jwk();
  rsa["alg"] = "PS256";
  StatusOr<Jwks> jwks = Parse(Json::array({rsa}));
  ASSERT_TRUE(jwks.ok());
  EXPECT_TRUE(jwks->keys()[0].Fits(JwsAlgorithm::kPs256));
  EXPECT_FALSE(jwks->keys()[0].Fits(JwsAlgorithm::kRs256));
  EXPECT_FALSE(jwks->keys()[0].Fits(JwsAlgorithm::kPs384));
}

}  // namespace
}  // namespace countersign::identity
