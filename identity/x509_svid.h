// X509Svid is an identity of our own: a certificate chain and its private key.
//
// It is the own side only; what a peer presents is judged by PeerVerifier and never becomes an
// X509Svid.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "identity/key.h"
#include "identity/spiffe_id.h"

namespace countersign::identity {

// X509Svid exists only with a leaf that keeps the profile of X509-SVID, with issuers that may sign,
// and with the key of that leaf. Immutable; share it as shared_ptr<const X509Svid>.
class X509Svid {
 public:
  // Create takes DER: the chain leaf first, and the key as PKCS#8. Expiry is the caller's business.
  static StatusOr<X509Svid> Create(std::vector<std::string> chain_der, std::string key_pkcs8_der);
  // FromConcatenatedDer reads the Workload API's form: certificates one after another.
  static StatusOr<X509Svid> FromConcatenatedDer(std::string_view chain, std::string key_pkcs8_der);
  // FromPem reads a chain, leaf first, and a PKCS#8 key.
  static StatusOr<X509Svid> FromPem(std::string_view chain_pem, std::string_view key_pem);

  const SpiffeId& id() const { return id_; }
  const std::vector<std::string>& chain_der() const { return chain_der_; }
  const std::string& key_pkcs8_der() const { return key_pkcs8_der_; }
  // serial is the leaf's, lower-case hex without leading zeros.
  const std::string& serial() const { return serial_; }
  WallTime not_before() const { return not_before_; }
  // not_after is the earliest end in the chain.
  WallTime not_after() const { return not_after_; }

  std::string ChainPem() const;
  std::string KeyPem() const;

 private:
  explicit X509Svid(SpiffeId id) : id_(std::move(id)) {}
  SpiffeId id_;
  std::vector<std::string> chain_der_;
  std::string key_pkcs8_der_;
  std::string serial_;
  WallTime not_before_;
  WallTime not_after_;
};

}  // namespace countersign::identity
