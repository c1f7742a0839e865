// Ed25519 signatures (RFC 8032), which sign the audit log's checkpoints.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

struct evp_pkey_st;

namespace countersign {

// Ed25519PrivateKey signs. Copies share one key; signing is safe for any thread.
class Ed25519PrivateKey {
 public:
  static StatusOr<Ed25519PrivateKey> Generate();
  static StatusOr<Ed25519PrivateKey> FromPkcs8Pem(std::string_view pem);

  StatusOr<std::string> ToPkcs8Pem() const;
  // Sign gives the 64 bytes of the signature.
  StatusOr<std::string> Sign(std::string_view message) const;
  // public_key is the 32 bytes of RFC 8032.
  const std::string& public_key() const { return public_key_; }

 private:
  Ed25519PrivateKey(std::shared_ptr<evp_pkey_st> key, std::string public_key)
      : key_(std::move(key)), public_key_(std::move(public_key)) {}
  static StatusOr<Ed25519PrivateKey> Wrap(std::shared_ptr<evp_pkey_st> key);
  std::shared_ptr<evp_pkey_st> key_;
  std::string public_key_;
};

// Ed25519Signed is what a verifier checks: who signed what.
struct Ed25519Signed {
  std::string_view public_key;
  std::string_view message;
  std::string_view signature;
};
// Ed25519Verify is false for a wrong length as for a wrong signature.
bool Ed25519Verify(const Ed25519Signed& signed_message);
inline bool Ed25519Verify(std::string_view public_key, std::string_view message,
                          std::string_view signature) {
  return Ed25519Verify(Ed25519Signed{public_key, message, signature});
}

}  // namespace countersign
