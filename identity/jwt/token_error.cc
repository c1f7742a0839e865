#include "identity/jwt/token_error.h"

namespace countersign::identity {

std::string_view TokenErrorName(TokenError error) {
  switch (error) {
    case TokenError::kNoToken:
      return "no_token";
    case TokenError::kManyTokens:
      return "many_tokens";
    case TokenError::kMalformedBearer:
      return "malformed_bearer";
    case TokenError::kOtherScheme:
      return "other_scheme";
    case TokenError::kTokenTooLarge:
      return "token_too_large";
    case TokenError::kNotCompactJws:
      return "not_compact_jws";
    case TokenError::kBadBase64:
      return "bad_base64";
    case TokenError::kMalformedHeader:
      return "malformed_header";
    case TokenError::kForbiddenHeader:
      return "forbidden_header";
    case TokenError::kWrongType:
      return "wrong_type";
    case TokenError::kAlgorithmNone:
      return "algorithm_none";
    case TokenError::kSymmetricAlgorithm:
      return "symmetric_algorithm";
    case TokenError::kUnknownAlgorithm:
      return "unknown_algorithm";
    case TokenError::kAlgorithmNotAllowed:
      return "algorithm_not_allowed";
    case TokenError::kMalformedClaims:
      return "malformed_claims";
    case TokenError::kWrongClaimType:
      return "wrong_claim_type";
    case TokenError::kAmbiguousClaim:
      return "ambiguous_claim";
    case TokenError::kTooManyClaims:
      return "too_many_claims";
    case TokenError::kNoIssuer:
      return "no_issuer";
    case TokenError::kUnknownIssuer:
      return "unknown_issuer";
    case TokenError::kNoAudience:
      return "no_audience";
    case TokenError::kWrongAudience:
      return "wrong_audience";
    case TokenError::kNoExpiry:
      return "no_expiry";
    case TokenError::kExpired:
      return "expired";
    case TokenError::kNotYetValid:
      return "not_yet_valid";
    case TokenError::kIssuedInFuture:
      return "issued_in_future";
    case TokenError::kBadSpiffeId:
      return "bad_spiffe_id";
    case TokenError::kUnknownTrustDomain:
      return "unknown_trust_domain";
    case TokenError::kNoKeys:
      return "no_keys";
    case TokenError::kNoKeyId:
      return "no_key_id";
    case TokenError::kUnknownKeyId:
      return "unknown_key_id";
    case TokenError::kKeyDoesNotFit:
      return "key_does_not_fit";
    case TokenError::kBadSignature:
      return "bad_signature";
    case TokenError::kInternal:
      return "internal";
  }
  return "internal";
}

}  // namespace countersign::identity
