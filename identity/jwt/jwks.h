// Jwks is the public keys that one issuer signs tokens with: a JWK Set (RFC 7517 section 5), or the
// JWT keys of a SPIFFE bundle.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "identity/jwt/jwk.h"

namespace countersign::identity {

// Jwks is immutable; share it as shared_ptr<const Jwks>. No keys is legal and means that every
// token of the issuer is refused.
class Jwks {
 public:
  // Parse reads a key set. What the standards let a reader pass over is passed over (see
  // ignored()); malformed JSON or keys, private members and two keys of one kid refuse the whole,
  // because such a set was not written by somebody who knew what they published.
  static StatusOr<Jwks> Parse(std::string_view json, JwkProfile profile);

  const std::vector<Jwk>& keys() const { return keys_; }
  // Find is the key of that kid, or null.
  const Jwk* Find(std::string_view kid) const;
  // FindOnly is the one key that `algorithm` fits, or null when there are none or several.
  const Jwk* FindOnly(JwsAlgorithm algorithm) const;
  // ignored says of each key that was passed over which and why, for the log.
  const std::vector<std::string>& ignored() const { return ignored_; }
  // refresh_hint is spiffe_refresh_hint; zero when there is none.
  std::chrono::seconds refresh_hint() const { return refresh_hint_; }

 private:
  Jwks() = default;
  std::vector<Jwk> keys_;
  std::vector<std::string> ignored_;
  std::chrono::seconds refresh_hint_{0};
};

}  // namespace countersign::identity
