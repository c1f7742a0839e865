// JwtSvid is a verified JWT-SVID: a short-lived token that says "the bearer is this workload".
//
// SPIFFE JWT-SVID sections 2 to 4. Only the bundle of the subject's own trust domain counts.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "identity/jwt/jwks.h"
#include "identity/jwt/token_error.h"
#include "identity/jwt/verified_token.h"
#include "identity/spiffe_id.h"

namespace countersign::identity {

// JwtSvid is made by JwtSvidVerifier alone. Immutable.
class JwtSvid {
 public:
  const SpiffeId& id() const { return id_; }
  const std::vector<std::string>& audiences() const { return facts_.audiences; }
  WallTime not_after() const { return facts_.not_after; }  // exp with its leeway.
  // claims is as VerifiedToken::claims.
  const std::vector<Claim>& claims() const { return facts_.claims; }

 private:
  friend class JwtSvidVerifier;
  JwtSvid(SpiffeId id, TokenFacts facts) : id_(std::move(id)), facts_(std::move(facts)) {}
  SpiffeId id_;
  TokenFacts facts_;
};

// JwtSvidResult is a JWT-SVID or the rule that was broken.
class [[nodiscard]] JwtSvidResult {
 public:
  bool ok() const { return std::holds_alternative<JwtSvid>(outcome_); }
  const JwtSvid& svid() const { return std::get<JwtSvid>(outcome_); }
  TokenError error() const { return std::get<TokenError>(outcome_); }
  // claimed_subject is what a refused token says, unproven, for the log.
  const std::string& claimed_subject() const { return claimed_subject_; }

 private:
  friend class JwtSvidVerifier;
  explicit JwtSvidResult(JwtSvid svid) : outcome_(std::move(svid)) {}
  explicit JwtSvidResult(TokenError error, std::string claimed_subject = {})
      : outcome_(error), claimed_subject_(std::move(claimed_subject)) {}
  std::variant<JwtSvid, TokenError> outcome_;
  std::string claimed_subject_;
};

// JwtSvidVerifier judges against the JWT keys of each trusted domain (Jwks::Parse with
// JwkProfile::kJwtSvid). Immutable and safe for any thread; new keys are a new verifier.
class JwtSvidVerifier {
 public:
  // JwtBundles maps a trust domain's name to its keys. A null entry trusts nobody of that domain.
  using JwtBundles = std::map<std::string, std::shared_ptr<const Jwks>, std::less<>>;
  explicit JwtSvidVerifier(JwtBundles bundles) : bundles_(std::move(bundles)) {}

  // Audience is what the validator calls itself; an empty one is never in a token.
  struct Audience {
    std::string_view name;
  };
  JwtSvidResult Verify(std::string_view token, Audience own, WallTime now) const;

 private:
  JwtBundles bundles_;
};

}  // namespace countersign::identity
