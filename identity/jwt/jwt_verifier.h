// JwtVerifier decides whether a JWT is one that a trusted issuer made for us, and what it says.
//
// RFC 7519 section 7.2 and RFC 8725. It takes the token's text, so that tests, fuzzers and
// simulation need no HTTP; bearer.h finds the text in a request. It knows nothing of policy.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "identity/jwt/jwks.h"
#include "identity/jwt/jws_algorithm.h"
#include "identity/jwt/token_error.h"
#include "identity/jwt/verified_token.h"

namespace countersign::identity {

// TrustedIssuer is one entry of the allow-list.
struct TrustedIssuer {
  std::string issuer;                            // iss, bytewise.
  std::shared_ptr<const Jwks> keys;              // Null: none yet, so that every token is refused.
  WallTime keys_usable_until = WallTime::max();  // From then on the keys are too old.
  std::vector<std::string> audiences;            // Ours; a token must name one. Never empty.
  JwsAlgorithmSet algorithms = JwsAlgorithmSet::All();
};

// TokenResult is a verified token or the rule that was broken.
class [[nodiscard]] TokenResult {
 public:
  bool ok() const { return std::holds_alternative<VerifiedToken>(outcome_); }
  const VerifiedToken& token() const { return std::get<VerifiedToken>(outcome_); }
  TokenError error() const { return std::get<TokenError>(outcome_); }
  // claimed_issuer is what a refused token says, unproven, for the log; empty if unreadable.
  const std::string& claimed_issuer() const { return claimed_issuer_; }
  // unknown_kid is the key that kUnknownKeyId missed, for a cache to look out for; unproven.
  const std::string& unknown_kid() const { return unknown_kid_; }

 private:
  friend class JwtVerifier;
  explicit TokenResult(VerifiedToken token) : outcome_(std::move(token)) {}
  explicit TokenResult(TokenError error, std::string claimed_issuer = {},
                       std::string unknown_kid = {})
      : outcome_(error),
        claimed_issuer_(std::move(claimed_issuer)),
        unknown_kid_(std::move(unknown_kid)) {}
  std::variant<VerifiedToken, TokenError> outcome_;
  std::string claimed_issuer_;
  std::string unknown_kid_;
};

// JwtVerifier judges against one allow-list. Immutable and safe for any thread; new keys are a new
// verifier.
class JwtVerifier {
 public:
  // Create refuses an issuer or audience that is empty, two entries for one issuer, an issuer
  // without audiences or algorithms, and more than JwtLimits allows. An empty list trusts nobody.
  static StatusOr<JwtVerifier> Create(std::vector<TrustedIssuer> issuers);

  // Verify takes the compact form, without "Bearer". The token is not kept.
  TokenResult Verify(std::string_view token, WallTime now) const;

 private:
  explicit JwtVerifier(std::vector<TrustedIssuer> issuers) : issuers_(std::move(issuers)) {}
  const TrustedIssuer* Find(std::string_view issuer) const;
  std::vector<TrustedIssuer> issuers_;
};

}  // namespace countersign::identity
