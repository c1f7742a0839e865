#include "identity/jwt/jwt_verifier.h"

#include <algorithm>
#include <set>
#include <utility>

#include "identity/jwt/claims.h"
#include "identity/jwt/jws.h"
#include "identity/jwt/limits.h"

namespace countersign::identity {
namespace {

Status CheckIssuer(const TrustedIssuer& issuer) {
  if (issuer.issuer.empty()) {
    return InvalidArgument("token issuer with an empty name");
  }
  std::string name = Concat("token issuer ", Quoted(issuer.issuer));
  // RFC 8725 3.9: a token made for another service must not do here.
  if (issuer.audiences.empty()) {
    return InvalidArgument(name, " has no audiences; name what its tokens for us say in aud");
  }
  if (issuer.audiences.size() > JwtLimits::kAudiencesMax) {
    return ResourceExhausted(name, " has more than the limit of ", JwtLimits::kAudiencesMax,
                             " audiences");
  }
  if (std::find(issuer.audiences.begin(), issuer.audiences.end(), "") != issuer.audiences.end()) {
    return InvalidArgument(name, " has an empty audience");
  }
  if (issuer.algorithms.empty()) {
    return InvalidArgument(name, " has no algorithms");
  }
  return absl::OkStatus();
}

bool ShareOne(const std::vector<std::string>& ours, const std::vector<std::string>& theirs) {
  return std::any_of(theirs.begin(), theirs.end(), [&](const std::string& audience) {
    return std::find(ours.begin(), ours.end(), audience) != ours.end();
  });
}

// VerifyFor judges a token against its issuer's entry. The signature comes before the claims' own
// rules, so that an expired or misdirected token is one that the issuer did sign.
std::optional<TokenError> VerifyFor(const TrustedIssuer& issuer, const Jws& jws, WallTime now,
                                    TokenFacts& facts) {
  if (!issuer.algorithms.Has(jws.algorithm)) {
    return TokenError::kAlgorithmNotAllowed;
  }
  if (issuer.keys == nullptr || now >= issuer.keys_usable_until) {
    return TokenError::kNoKeys;
  }
  std::optional<TokenError> error = VerifyJws(jws, *issuer.keys);
  error = error.has_value() ? error : ReadStandardClaims(jws.claims, facts);
  error = error.has_value() ? error : CheckTimes(jws.claims, facts, now);
  if (!error.has_value() && !ShareOne(issuer.audiences, facts.audiences)) {
    error = TokenError::kWrongAudience;
  }
  error = error.has_value() ? error : FlattenClaims(jws.claims, facts);
  facts.not_after = std::min(facts.not_after, issuer.keys_usable_until);
  return error;
}

}  // namespace

StatusOr<JwtVerifier> JwtVerifier::Create(std::vector<TrustedIssuer> issuers) {
  if (issuers.size() > JwtLimits::kIssuersMax) {
    return ResourceExhausted("more than the limit of ", JwtLimits::kIssuersMax, " token issuers");
  }
  std::set<std::string_view> names;
  for (const TrustedIssuer& issuer : issuers) {
    RETURN_IF_ERROR(CheckIssuer(issuer));
    if (!names.insert(issuer.issuer).second) {
      return AlreadyExists("two entries for the token issuer ", Quoted(issuer.issuer));
    }
  }
  return JwtVerifier(std::move(issuers));
}

const TrustedIssuer* JwtVerifier::Find(std::string_view issuer) const {
  for (const TrustedIssuer& candidate : issuers_) {
    if (candidate.issuer == issuer) {
      return &candidate;
    }
  }
  return nullptr;
}

TokenResult JwtVerifier::Verify(std::string_view token, WallTime now) const {
  Jws jws;
  if (std::optional<TokenError> error = ParseJws(token, TokenProfile::kJwt, jws)) {
    return TokenResult(*error);
  }
  auto claimed = jws.claims.find("iss");
  if (claimed == jws.claims.end()) {
    return TokenResult(TokenError::kNoIssuer);
  }
  if (!claimed->is_string()) {
    return TokenResult(TokenError::kWrongClaimType);
  }
  const auto& name = claimed->get_ref<const std::string&>();
  const TrustedIssuer* issuer = Find(name);
  if (issuer == nullptr) {
    return TokenResult(TokenError::kUnknownIssuer, name);
  }
  TokenFacts facts;
  if (std::optional<TokenError> error = VerifyFor(*issuer, jws, now, facts)) {
    bool is_unknown = *error == TokenError::kUnknownKeyId;
    return TokenResult(*error, name, is_unknown ? jws.kid.value_or("") : "");
  }
  return TokenResult(VerifiedToken(std::move(facts)));
}

}  // namespace countersign::identity
