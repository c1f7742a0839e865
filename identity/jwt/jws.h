// Jws is a token taken apart and not yet believed: RFC 7515 compact form, header judged, claims
// parsed, signature still to be verified. For the verifiers of this folder alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "identity/jwt/jwk.h"
#include "identity/jwt/jwks.h"
#include "identity/jwt/token_error.h"
#include "identity/strict_json.h"

namespace countersign::identity {

// TokenProfile says which `typ` values a token may have.
enum class TokenProfile {
  kJwt,      // JWT, JOSE or at+jwt (RFC 9068), as media types: case does not count.
  kJwtSvid,  // Exactly JWT or JOSE (JWT-SVID section 2.3).
};

struct Jws {
  JwsAlgorithm algorithm = JwsAlgorithm::kRs256;
  std::optional<std::string> kid;
  Json claims;  // An object.
  std::string_view signing_input;
  std::string signature;
};

// ParseJws judges everything that needs no key. `token` must outlive `jws`.
std::optional<TokenError> ParseJws(std::string_view token, TokenProfile profile, Jws& jws);

// VerifyJws finds the key by kid, or the only one that fits when the token has none, and verifies.
std::optional<TokenError> VerifyJws(const Jws& jws, const Jwks& keys);

}  // namespace countersign::identity
