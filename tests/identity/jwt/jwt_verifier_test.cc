#include "identity/jwt/jwt_verifier.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <set>

#include "base/crypto/base64.h"
#include "identity/jwt/limits.h"
#include "tests/identity/jwt/jwt_fixture.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

std::vector<JwsAlgorithm> AllAlgorithms() {
  std::vector<JwsAlgorithm> all;
  for (size_t i = 0; i < kJwsAlgorithmCount; ++i) {
    all.push_back(static_cast<JwsAlgorithm>(i));
  }
  return all;
}

TEST(JwtVerifierTest, AGoodTokenSaysWhatItsIssuerSaid) {
  TestIssuer issuer;
  TokenResult result =
      VerifierOf(Trusted(issuer.Keys())).Verify(issuer.Sign(GoodClaims()), TestNow());
  ASSERT_TRUE(result.ok()) << ErrorOf(result);
  EXPECT_EQ(result.token().issuer(), kLogin);
  EXPECT_EQ(result.token().subject(), "ana");
  EXPECT_EQ(result.token().audiences(), std::vector<std::string>{"orders"});
  EXPECT_EQ(result.token().not_after(), TestNow() + 300s + JwtLimits::kLeeway);
}

// Every algorithm with its own key, and no other: RS256 is not PS256, and ES256 is not ES384.
TEST(JwtVerifierTest, EveryAlgorithmVerifiesAndNoneVerifiesAsAnother) {
  for (JwsAlgorithm signed_with : AllAlgorithms()) {
    TestIssuer issuer(signed_with);
    JwtVerifier verifier = VerifierOf(Trusted(issuer.Keys()));
    for (JwsAlgorithm said : AllAlgorithms()) {
      Json header = issuer.Header();
      header["alg"] = JwsAlgorithmName(said);
      TokenResult result = verifier.Verify(issuer.Sign(header, GoodClaims()), TestNow());
      bool same_key = FactsOf(said).key_type == FactsOf(signed_with).key_type;
      EXPECT_EQ(ErrorOf(result), said == signed_with ? "good"
                                 : same_key          ? "bad_signature"
                                                     : "key_does_not_fit")
          << JwsAlgorithmName(signed_with) << " as " << JwsAlgorithmName(said);
      EXPECT_EQ(ERR_peek_error(), 0u);
    }
  }
}

// Any one bit of any part. A base64url digit has six bits, all of which count.
TEST(JwtVerifierTest, NoTokenWithOneBitChangedIsAccepted) {
  for (JwsAlgorithm algorithm :
       {JwsAlgorithm::kEs256, JwsAlgorithm::kPs256, JwsAlgorithm::kRs256}) {
    TestIssuer issuer(algorithm);
    JwtVerifier verifier = VerifierOf(Trusted(issuer.Keys()));
    const std::string token = issuer.Sign(GoodClaims());
    ASSERT_TRUE(verifier.Verify(token, TestNow()).ok());
    for (size_t i = 0; i < token.size(); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string changed = token;
        changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
        ASSERT_FALSE(verifier.Verify(changed, TestNow()).ok()) << i << " bit " << bit;
      }
    }
  }
}

TEST(JwtVerifierTest, NoTokenThatWasCutOrGrewIsAccepted) {
  TestIssuer issuer;
  JwtVerifier verifier = VerifierOf(Trusted(issuer.Keys()));
  const std::string token = issuer.Sign(GoodClaims());
  for (size_t size = 0; size < token.size(); ++size) {
    ASSERT_FALSE(verifier.Verify(token.substr(0, size), TestNow()).ok()) << size;
  }
  for (std::string_view more : {"A", "AA", "AAAA", ".", "=", " ", "\n"}) {
    EXPECT_FALSE(verifier.Verify(Concat(token, more), TestNow()).ok()) << Quoted(more);
    EXPECT_FALSE(verifier.Verify(Concat(more, token), TestNow()).ok()) << Quoted(more);
  }
}

// (r, n - s) verifies too under ECDSA; what must not verify is any other spelling of the numbers.
TEST(JwtVerifierTest, AnEllipticSignatureIsTwoNumbersOfFullWidthAndNothingElse) {
  TestIssuer issuer;
  JwtVerifier verifier = VerifierOf(Trusted(issuer.Keys()));
  std::string input =
      Concat(Base64UrlEncode(issuer.Header().dump()), ".", Base64UrlEncode(GoodClaims().dump()));
  std::string raw = issuer.SignatureOf(input);
  auto verdict = [&](std::string_view signature) {
    return ErrorOf(verifier.Verify(Concat(input, ".", Base64UrlEncode(signature)), TestNow()));
  };
  ASSERT_EQ(raw.size(), 64u);
  EXPECT_EQ(verdict(raw), "good");
  const std::string zero(32, '\0');
  EXPECT_EQ(verdict(zero + zero), "bad_signature");
  EXPECT_EQ(verdict(raw.substr(0, 32) + zero), "bad_signature");
  EXPECT_EQ(verdict(zero + raw.substr(32)), "bad_signature");
  EXPECT_EQ(verdict(std::string(64, '\xff')), "bad_signature");
  EXPECT_EQ(verdict(std::string(1, '\0') + raw), "bad_signature");
  EXPECT_EQ(verdict(Concat(std::string(1, '\0'), raw.substr(0, 32), std::string(1, '\0'),
                           raw.substr(32))),
            "bad_signature");
  EXPECT_EQ(verdict(raw.substr(32) + raw.substr(0, 32)), "bad_signature");
  std::string der = Concat("\x30\x44\x02\x20", raw.substr(0, 32), "\x02\x20", raw.substr(32));
  EXPECT_EQ(verdict(der), "bad_signature");
}

TEST(JwtVerifierTest, APssSaltIsAsLongAsTheHash) {
  TestIssuer issuer(JwsAlgorithm::kPs256);
  JwtVerifier verifier = VerifierOf(Trusted(issuer.Keys()));
  std::string input =
      Concat(Base64UrlEncode(issuer.Header().dump()), ".", Base64UrlEncode(GoodClaims().dump()));
  for (int salt_bytes : {0, 20, 31, 32, 33, 64}) {
    std::string signature = issuer.SignatureOf(input, salt_bytes);
    EXPECT_EQ(ErrorOf(verifier.Verify(Concat(input, ".", Base64UrlEncode(signature)), TestNow())),
              salt_bytes == 32 ? "good" : "bad_signature")
        << salt_bytes;
  }
}

TEST(JwtVerifierTest, TimesAreHeldToTheSecondWithTheLeewayAndNoMore) {
  TestIssuer issuer;
  JwtVerifier verifier = VerifierOf(Trusted(issuer.Keys()));
  const int64_t leeway = JwtLimits::kLeeway.count();
  struct Row {
    const char* claim;
    int64_t seconds_from_now;
    const char* verdict;
  };
  const Row kRows[] = {
      {"exp", 1, "good"},          {"exp", 1 - leeway, "good"},
      {"exp", -leeway, "expired"}, {"exp", -3600, "expired"},
      {"nbf", leeway, "good"},     {"nbf", leeway + 1, "not_yet_valid"},
      {"iat", leeway, "good"},     {"iat", leeway + 1, "issued_in_future"},
      {"iat", -1000000, "good"},
  };
  for (const Row& row : kRows) {
    Json claims = GoodClaims();
    claims[row.claim] = TestSeconds() + row.seconds_from_now;
    EXPECT_EQ(ErrorOf(verifier.Verify(issuer.Sign(claims), TestNow())), row.verdict)
        << row.claim << " " << row.seconds_from_now;
  }
  Json fraction = GoodClaims();
  fraction["exp"] = static_cast<double>(TestSeconds()) + 0.5;
  EXPECT_EQ(VerifierOf(Trusted(issuer.Keys()))
                .Verify(issuer.Sign(fraction), TestNow())
                .token()
                .not_after(),
            TestNow() + JwtLimits::kLeeway);
  Json never = GoodClaims();
  never["exp"] = 253402300799;
  EXPECT_TRUE(verifier.Verify(issuer.Sign(never), TestNow()).ok());
}

TEST(JwtVerifierTest, KeysThatAreTooOldOrNotThereRefuseEveryToken) {
  TestIssuer issuer;
  std::string token = issuer.Sign(GoodClaims());
  TrustedIssuer trusted = Trusted(issuer.Keys());
  trusted.keys_usable_until = TestNow() + 100s;
  TokenResult fresh = VerifierOf(trusted).Verify(token, TestNow());
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(fresh.token().not_after(), TestNow() + 100s);
  trusted.keys_usable_until = TestNow();
  EXPECT_EQ(ErrorOf(VerifierOf(trusted).Verify(token, TestNow())), "no_keys");
  EXPECT_EQ(ErrorOf(VerifierOf(Trusted(nullptr)).Verify(token, TestNow())), "no_keys");
  auto empty = Jwks::Parse(R"({"keys":[]})", JwkProfile::kSignature);
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(
      ErrorOf(VerifierOf(Trusted(std::make_shared<const Jwks>(*empty))).Verify(token, TestNow())),
      "no_keys");
}

TEST(JwtVerifierTest, EachIssuerHasItsOwnKeysAudiencesAndAlgorithms) {
  TestIssuer login(JwsAlgorithm::kEs256);
  TestIssuer partner(JwsAlgorithm::kRs256);
  TrustedIssuer second{.issuer = "https://partner.example",
                       .keys = partner.Keys(),
                       .audiences = {"shop", "orders-partner"},
                       .algorithms = {}};
  second.algorithms.Add(JwsAlgorithm::kRs256);
  StatusOr<JwtVerifier> verifier = JwtVerifier::Create({Trusted(login.Keys()), second});
  ASSERT_TRUE(verifier.ok());
  Json claims = GoodClaims();
  claims["iss"] = "https://partner.example";
  claims["aud"] = {"elsewhere", "shop"};
  EXPECT_EQ(ErrorOf(verifier->Verify(partner.Sign(claims), TestNow())), "good");
  // The other issuer's key, though it has the same kid.
  Json header = login.Header();
  EXPECT_EQ(ErrorOf(verifier->Verify(login.Sign(header, claims), TestNow())),
            "algorithm_not_allowed");
  header["alg"] = "RS256";
  EXPECT_EQ(ErrorOf(verifier->Verify(login.Sign(header, claims), TestNow())), "bad_signature");
  EXPECT_EQ(ErrorOf(verifier->Verify(partner.Sign(GoodClaims()), TestNow())), "key_does_not_fit");
  claims["aud"] = "orders";
  EXPECT_EQ(ErrorOf(verifier->Verify(partner.Sign(claims), TestNow())), "wrong_audience");
}

TEST(JwtVerifierTest, AnAllowListThatAdmitsMoreThanItSaysIsRefused) {
  TestIssuer issuer;
  const TrustedIssuer good = Trusted(issuer.Keys());
  auto with = [&](auto change) {
    TrustedIssuer changed = good;
    change(changed);
    return JwtVerifier::Create({changed}).ok();
  };
  EXPECT_TRUE(with([](TrustedIssuer&) {}));
  EXPECT_TRUE(JwtVerifier::Create({}).ok());
  EXPECT_FALSE(with([](TrustedIssuer& i) { i.issuer = ""; }));
  EXPECT_FALSE(with([](TrustedIssuer& i) { i.audiences = {}; }));
  EXPECT_FALSE(with([](TrustedIssuer& i) { i.audiences = {"orders", ""}; }));
  EXPECT_FALSE(with([](TrustedIssuer& i) { i.audiences.assign(65, "orders"); }));
  EXPECT_FALSE(with([](TrustedIssuer& i) { i.algorithms = JwsAlgorithmSet(); }));
  EXPECT_EQ(JwtVerifier::Create({good, good}).status().code(), StatusCode::kAlreadyExists);
  std::vector<TrustedIssuer> many(65, good);
  for (size_t i = 0; i < many.size(); ++i) {
    many[i].issuer = Concat("https://", i);
  }
  EXPECT_EQ(JwtVerifier::Create(many).status().code(), StatusCode::kResourceExhausted);
  many.pop_back();
  EXPECT_TRUE(JwtVerifier::Create(many).ok());
}

TEST(JwtVerifierTest, AllErrorsHaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (uint8_t i = 0; i < kTokenErrorCount; ++i) {
    names.insert(TokenErrorName(static_cast<TokenError>(i)));
  }
  EXPECT_EQ(names.size(), kTokenErrorCount);
}

// RFC 7515 appendix A.2 and A.3: an RSA and an elliptic signature that others made. They have no
// aud, which is what is refused once the signature is good.
TEST(JwtVerifierTest, TheSignaturesOfRfc7515AppendixAAreGood) {
  constexpr std::string_view kPayload =
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
      "cnVlfQ.";
  const std::string rsa = Concat(
      "eyJhbGciOiJSUzI1NiJ9", kPayload,
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
      "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQB"
      "MHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeY"
      "I2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw");
  const std::string elliptic = Concat(
      "eyJhbGciOiJFUzI1NiJ9", kPayload,
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  auto keys = Jwks::Parse(
      R"({"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
      R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"RSA","e":"AQAB","n":")"
      "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0B"
      "m4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5"
      "z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7"
      "aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}",
      JwkProfile::kSignature);
  ASSERT_TRUE(keys.ok()) << keys.status();
  TrustedIssuer joe{
      .issuer = "joe", .keys = std::make_shared<const Jwks>(*keys), .audiences = {"orders"}};
  JwtVerifier verifier = VerifierOf(joe);
  WallTime then = WallTime(std::chrono::seconds(1300819380 - 60));
  for (const std::string& token : {rsa, elliptic}) {
    EXPECT_EQ(ErrorOf(verifier.Verify(token, then)), "no_audience");
    std::string changed = token;
    changed[token.size() - 20] = changed[token.size() - 20] == 'A' ? 'B' : 'A';
    EXPECT_EQ(ErrorOf(verifier.Verify(changed, then)), "bad_signature");
  }
}

}  // namespace
}  // namespace countersign::identity
