// What the tests of this folder share: one issuer that is trusted, and one token of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/clock.h"
#include "identity/jwt/jwt_verifier.h"
#include "tests/support/test_issuer.h"

namespace countersign::identity {

constexpr char kLogin[] = "https://login.example";

inline WallTime TestNow() { return *ParseTime("2027-03-01T12:00:00Z"); }
inline int64_t TestSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(TestNow().time_since_epoch()).count();
}

// GoodClaims are accepted at TestNow by a verifier for "orders".
inline nlohmann::json GoodClaims() {
  return {{"iss", kLogin},        {"sub", "ana"},
          {"aud", "orders"},      {"exp", TestSeconds() + 300},
          {"nbf", TestSeconds()}, {"iat", TestSeconds()}};
}

inline TrustedIssuer Trusted(std::shared_ptr<const Jwks> keys) {
  return {.issuer = kLogin, .keys = std::move(keys), .audiences = {"orders"}};
}

inline JwtVerifier VerifierOf(TrustedIssuer issuer) {
  auto verifier = JwtVerifier::Create({std::move(issuer)});
  CHECK(verifier.ok());
  return *std::move(verifier);
}

// ErrorOf is the rule that the token broke, or "good".
inline std::string_view ErrorOf(const TokenResult& result) {
  return result.ok() ? "good" : TokenErrorName(result.error());
}

}  // namespace countersign::identity
