// Reads one element of a JWK Set. For jwks.cc alone; everybody else has Jwks.
#pragma once

#include <string_view>
#include <variant>

#include "base/status.h"
#include "identity/jwt/jwk.h"
#include "identity/strict_json.h"

namespace countersign::identity {

// IgnoredJwk is a key that RFC 7517 section 5 and SPIFFE bundle section 4.2 let a reader pass over,
// and why.
struct IgnoredJwk {
  std::string_view reason;
};

// ReadJwk gives a key, or why it is passed over; an error is a key that refuses its whole set:
// malformed, or with private members in it, so that it is a secret that was published.
StatusOr<std::variant<Jwk, IgnoredJwk>> ReadJwk(const Json& element, JwkProfile profile);

}  // namespace countersign::identity
