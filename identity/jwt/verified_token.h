// VerifiedToken is the proof that a JWT was verified, and what it says. It knows nothing of keys
// or OpenSSL.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace countersign::identity {

// Claim is one value of one claim as text. Members of objects are reached by a path with dots:
// {"realm": {"roles": ["a", "b"]}} is {"realm.roles", "a"} and {"realm.roles", "b"}.
struct Claim {
  std::string path;
  std::string value;
  bool operator==(const Claim&) const = default;
};

// TokenFacts is what a token says, for the verifiers to fill; it proves nothing.
struct TokenFacts {
  std::string issuer;   // iss; empty: a JWT-SVID without one.
  std::string subject;  // sub; empty: none.
  std::vector<std::string> audiences;
  WallTime not_after;
  std::vector<Claim> claims;  // Sorted by path; the values of one path in their order.
};

// VerifiedToken is made by JwtVerifier alone. Immutable.
class VerifiedToken {
 public:
  const std::string& issuer() const { return facts_.issuer; }
  const std::string& subject() const { return facts_.subject; }
  const std::vector<std::string>& audiences() const { return facts_.audiences; }
  // not_after is when this proof ends: exp with its leeway, or when the issuer's keys grow too old.
  WallTime not_after() const { return facts_.not_after; }
  // claims holds every claim that has a text form: strings; numbers (integers in decimal, others in
  // the shortest form that reads back the same); true and false. A list is its elements, `scope` is
  // split at spaces. null, an empty list, and lists and objects inside a list have no text form.
  const std::vector<Claim>& claims() const { return facts_.claims; }

 private:
  friend class JwtVerifier;
  explicit VerifiedToken(TokenFacts facts) : facts_(std::move(facts)) {}
  TokenFacts facts_;
};

}  // namespace countersign::identity
