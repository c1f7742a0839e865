// TestIssuer signs tokens for tests: good ones in one call, and any deliberately bad one, because
// header and claims are taken as they are. It shares no code with the product's verifier.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "identity/jwt/jwks.h"
#include "identity/jwt/jws_algorithm.h"
#include "tests/support/test_ca.h"

namespace countersign {

class TestIssuer {
 public:
  using Json = nlohmann::json;
  // A key of the kind that `algorithm` is for, or any other.
  explicit TestIssuer(identity::JwsAlgorithm algorithm = identity::JwsAlgorithm::kEs256);
  TestIssuer(identity::JwsAlgorithm algorithm, TestKey key)
      : algorithm_(algorithm), key_(std::move(key)) {}

  // Jwk is the public key with kid "key-1" and, unless it is empty, that use.
  Json Jwk(std::string_view use = "sig") const;
  std::string JwksText(std::string_view use = "sig") const;
  std::shared_ptr<const identity::Jwks> Keys() const;      // With use "sig".
  std::shared_ptr<const identity::Jwks> SvidKeys() const;  // With use "jwt-svid".

  // Header is {"alg", "kid": "key-1", "typ": "JWT"}.
  Json Header() const;
  std::string Sign(const Json& claims) const { return Sign(Header(), claims); }
  std::string Sign(const Json& header, const Json& claims) const {
    return SignText(header.dump(), claims.dump());
  }
  // SignText signs these bytes, whatever they are.
  std::string SignText(std::string_view header, std::string_view claims) const;
  // SignatureOf is the raw signature over a signing input; `salt_bytes` is for PSS, -1: as long as
  // the hash.
  std::string SignatureOf(std::string_view signing_input, int salt_bytes = -1) const;

 private:
  identity::JwsAlgorithm algorithm_;
  TestKey key_;
};

}  // namespace countersign
