// Reads the claims of a token: the registered ones with their types and times (RFC 7519 4.1), and
// all of them as text for the policy. For the verifiers of this folder alone.
#pragma once

#include <optional>
#include <string_view>

#include "identity/jwt/token_error.h"
#include "identity/jwt/verified_token.h"
#include "identity/strict_json.h"

namespace countersign::identity {

// ReadStandardClaims fills everything but TokenFacts::claims: types, and that aud and exp are
// there. not_after is exp with its leeway.
std::optional<TokenError> ReadStandardClaims(const Json& claims, TokenFacts& facts);

// CheckTimes judges exp, nbf and iat of claims that ReadStandardClaims accepted.
std::optional<TokenError> CheckTimes(const Json& claims, const TokenFacts& facts, WallTime now);

// FlattenClaims fills TokenFacts::claims.
std::optional<TokenError> FlattenClaims(const Json& claims, TokenFacts& facts);

}  // namespace countersign::identity
