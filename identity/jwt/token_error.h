// TokenError names the one rule that a presented token broke. The audit log and the metrics carry
// these names; tests compare the values.
#pragma once

#include <cstdint>
#include <string_view>

namespace countersign::identity {

enum class TokenError : uint8_t {
  // Which token, before a byte of it is read.
  kNoToken,
  kManyTokens,       // Two Authorization fields, or one that could be read as two tokens.
  kMalformedBearer,  // `Bearer` without a token, or with bytes that no token has.
  kOtherScheme,      // Authorization of another scheme, such as Basic.
  // The envelope (RFC 7515 section 7.1).
  kTokenTooLarge,
  kNotCompactJws,  // Not three parts; JWE has five, detached content an empty one.
  kBadBase64,      // Padding, foreign digits or spare bits.
  // The header.
  kMalformedHeader,     // Not one JSON object, duplicate names, a wrong type, too large.
  kForbiddenHeader,     // Anything but alg, kid and typ: crit, jku, jwk, x5u, x5c, b64, zip ...
  kWrongType,           // typ names another kind of token (RFC 8725 3.11).
  kAlgorithmNone,       // Unsigned.
  kSymmetricAlgorithm,  // HS*: the verifier could sign, and public keys would be secrets.
  kUnknownAlgorithm,
  kAlgorithmNotAllowed,  // Known, but not one that this issuer may use.
  // The claims.
  kMalformedClaims,  // Not one JSON object, duplicate names, too deep.
  kWrongClaimType,   // iss, sub, aud, exp, nbf or iat of a type that RFC 7519 does not give it.
  kAmbiguousClaim,   // Two claims of one path, such as "a.b" and {"a": {"b": ...}}.
  kTooManyClaims,
  kNoIssuer,
  kUnknownIssuer,  // Not on the allow-list.
  kNoAudience,
  kWrongAudience,
  kNoExpiry,
  kExpired,
  kNotYetValid,
  kIssuedInFuture,
  kBadSpiffeId,         // JWT-SVID: sub is not the SPIFFE ID of a workload.
  kUnknownTrustDomain,  // JWT-SVID: no bundle for the domain of sub.
  // The key and the signature.
  kNoKeys,   // The issuer has no usable keys, or none that are fresh enough.
  kNoKeyId,  // No kid, and not exactly one key that the algorithm fits.
  kUnknownKeyId,
  kKeyDoesNotFit,  // The algorithm is for another kind of key or curve, or not the key's own.
  kBadSignature,
  kInternal,  // No memory. Refused like the rest.
};
inline constexpr uint8_t kTokenErrorCount = static_cast<uint8_t>(TokenError::kInternal) + 1;

// TokenErrorName is stable: "wrong_audience".
std::string_view TokenErrorName(TokenError error);

}  // namespace countersign::identity
