#include "identity/jwt/jwt_svid.h"

#include <algorithm>
#include <utility>

#include "identity/jwt/claims.h"
#include "identity/jwt/jws.h"

namespace countersign::identity {

JwtSvidResult JwtSvidVerifier::Verify(std::string_view token, Audience own, WallTime now) const {
  Jws jws;
  if (std::optional<TokenError> error = ParseJws(token, TokenProfile::kJwtSvid, jws)) {
    return JwtSvidResult(*error);
  }
  auto claimed = jws.claims.find("sub");
  if (claimed == jws.claims.end() || !claimed->is_string()) {
    return JwtSvidResult(TokenError::kBadSpiffeId);
  }
  const auto& subject = claimed->get_ref<const std::string&>();
  // JWT-SVID 3.1: "The sub claim MUST be set to the SPIFFE ID of the workload to which it is
  // issued"; the ID of a trust domain is no workload's.
  StatusOr<SpiffeId> id = SpiffeId::Parse(subject);
  if (!id.ok() || id->path().empty()) {
    return JwtSvidResult(TokenError::kBadSpiffeId, subject);
  }
  auto keys = bundles_.find(id->trust_domain_name());
  if (keys == bundles_.end()) {
    return JwtSvidResult(TokenError::kUnknownTrustDomain, subject);
  }
  if (keys->second == nullptr) {
    return JwtSvidResult(TokenError::kNoKeys, subject);
  }
  TokenFacts facts;
  std::optional<TokenError> error = VerifyJws(jws, *keys->second);
  error = error.has_value() ? error : ReadStandardClaims(jws.claims, facts);
  error = error.has_value() ? error : CheckTimes(jws.claims, facts, now);
  bool is_for_us = !own.name.empty() && std::find(facts.audiences.begin(), facts.audiences.end(),
                                                  own.name) != facts.audiences.end();
  if (!error.has_value() && !is_for_us) {
    error = TokenError::kWrongAudience;
  }
  error = error.has_value() ? error : FlattenClaims(jws.claims, facts);
  if (error.has_value()) {
    return JwtSvidResult(*error, subject);
  }
  return JwtSvidResult(JwtSvid(*std::move(id), std::move(facts)));
}

}  // namespace countersign::identity
