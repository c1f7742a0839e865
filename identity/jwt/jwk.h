// Jwk is one public key of a JWK Set, checked and ready to verify with.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "identity/jwt/jws_algorithm.h"

struct evp_pkey_st;

namespace countersign::identity {

// JwkProfile says whose rules a key set follows.
enum class JwkProfile {
  kSignature,  // RFC 7517: `use` is "sig" or absent; of an OpenID provider or a cluster.
  kJwtSvid,    // SPIFFE bundle: `use` is "jwt-svid" and kid is there.
};

// Jwk is immutable; copies share the key. Safe for any thread.
struct Jwk {
  std::string kid;  // Empty: it has none.
  KeyType type;
  std::optional<JwsAlgorithm> only_for;  // `alg` of RFC 7517 4.4: the one algorithm it is for.
  std::shared_ptr<evp_pkey_st> key;

  bool Fits(JwsAlgorithm algorithm) const {
    return FactsOf(algorithm).key_type == type && only_for.value_or(algorithm) == algorithm;
  }
};

}  // namespace countersign::identity
