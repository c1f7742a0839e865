// Any bytes as a token. The input is header, claims and signature with '\n' between them; the
// fuzzer puts them into compact form, because base64 would hide them from it. The input as it is
// goes in too.
#include <openssl/err.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/crypto/base64.h"
#include "identity/jwt/bearer.h"
#include "identity/jwt/claims.h"
#include "identity/jwt/jwt_svid.h"
#include "identity/jwt/jwt_verifier.h"

namespace {

using namespace countersign;
using namespace countersign::identity;

// A key of RFC 7515 appendix A.3, whose private half is public, so that the corpus can hold good
// tokens.
constexpr std::string_view kKeys = R"({"keys":[{"kty":"EC","crv":"P-256","kid":"a","use":"USE",)"
                                   R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                                   R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

std::shared_ptr<const Jwks> Keys(std::string_view use, JwkProfile profile) {
  std::string text(kKeys);
  text.replace(text.find("USE"), 3, use);
  StatusOr<Jwks> keys = Jwks::Parse(text, profile);
  CHECK(keys.ok() && keys->keys().size() == 1);
  return std::make_shared<const Jwks>(*std::move(keys));
}

JwtVerifier MakeVerifier() {
  StatusOr<JwtVerifier> verifier = JwtVerifier::Create(
      {{.issuer = "joe", .keys = Keys("sig", JwkProfile::kSignature), .audiences = {"orders"}}});
  CHECK(verifier.ok());
  return *std::move(verifier);
}

void CheckClaims(const std::vector<Claim>& claims) {
  CHECK(std::is_sorted(claims.begin(), claims.end(),
                       [](const Claim& a, const Claim& b) { return a.path < b.path; }));
}

void VerifyBoth(std::string_view token) {
  static const WallTime kNow = *ParseTime("2027-03-01T12:00:00Z");
  static const JwtVerifier kVerifier = MakeVerifier();
  static const JwtSvidVerifier kSvidVerifier(
      {{"shop.example", Keys("jwt-svid", JwkProfile::kJwtSvid)}});
  TokenResult result = kVerifier.Verify(token, kNow);
  if (result.ok()) {
    CHECK(result.token().issuer() == "joe" && result.token().not_after() > kNow);
    const std::vector<std::string>& audiences = result.token().audiences();
    CHECK(std::find(audiences.begin(), audiences.end(), "orders") != audiences.end());
    CheckClaims(result.token().claims());
  } else {
    CHECK(result.unknown_kid().empty() || result.error() == TokenError::kUnknownKeyId);
  }
  JwtSvidResult svid = kSvidVerifier.Verify(token, {"orders"}, kNow);
  if (svid.ok()) {
    CHECK(svid.svid().id().trust_domain_name() == "shop.example");
    CHECK(svid.svid().not_after() > kNow);
  }
}

// FlattenAny is what comes after the signature, for claims that nobody signed.
void FlattenAny(std::string_view text) {
  StatusOr<Json> claims =
      ParseStrictJson(text, {.what = "claims", .bytes_max = 16384, .depth_max = 8});
  TokenFacts facts;
  if (claims.ok() && claims->is_object() && !ReadStandardClaims(*claims, facts).has_value()) {
    (void)CheckTimes(*claims, facts, WallTime(std::chrono::seconds(1)));
    if (!FlattenClaims(*claims, facts).has_value()) {
      CheckClaims(facts.claims);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  VerifyBoth(input);
  size_t first = std::min(input.find('\n'), size);
  size_t second = std::min(input.find('\n', std::min(first + 1, size)), size);
  std::string_view header = input.substr(0, first);
  std::string_view claims =
      input.substr(std::min(first + 1, second), second - std::min(first + 1, second));
  std::string_view signature = input.substr(std::min(second + 1, size));
  VerifyBoth(Concat(Base64UrlEncode(header), ".", Base64UrlEncode(claims), ".",
                    Base64UrlEncode(signature)));
  FlattenAny(claims);
  std::string_view field[] = {input};
  auto found = FindBearer(field);
  if (const auto* token = std::get_if<BearerToken>(&found)) {
    CHECK(!token->text.empty() && token->text.find_first_of(" ,\t\n\r") == std::string_view::npos);
  }
  CHECK(ERR_peek_error() == 0);
  return 0;
}
