// PrivateKey is a workload's or an authority's key: ECDSA P-256 or P-384, or RSA of 2048 bits or
// more. It also writes the certificate request that asks for an SVID. Nothing here stores a key.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

struct evp_pkey_st;

namespace countersign::identity {

struct KeyLimits {
  static constexpr size_t kEncodedBytesMax = 16 * 1024;  // RSA 8192 in PEM takes 6.5 KiB.
  static constexpr int kRsaBitsMin = 2048;               // 112 bits of security.
  static constexpr int kRsaBitsMax =
      8192;  // Verifying with a larger one is a way to waste our CPU.
  static constexpr int kRsaExponentBitsMax = 64;
};

// PrivateKey holds one accepted key. Copies share it; immutable, safe for any thread.
class PrivateKey {
 public:
  static StatusOr<PrivateKey> GenerateP256();
  static StatusOr<PrivateKey> FromPkcs8Der(std::string_view der);
  // FromPem reads the first private key; an encrypted one is refused.
  static StatusOr<PrivateKey> FromPem(std::string_view pem);

  StatusOr<std::string> ToPkcs8Der() const;
  StatusOr<std::string> ToPkcs8Pem() const;
  // PublicKeyDer is the SubjectPublicKeyInfo.
  StatusOr<std::string> PublicKeyDer() const;

  // native is OpenSSL's handle, owned by this value.
  evp_pkey_st* native() const { return key_.get(); }

 private:
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}
  std::shared_ptr<evp_pkey_st> key_;
};

// MakeCsr writes a PKCS#10 request in DER with an empty subject and no SANs, because the issuer
// takes nothing but the public key from it.
StatusOr<std::string> MakeCsr(const PrivateKey& key);

// CheckKeyAccepted says whether a public key is of a kind and size that this system trusts.
Status CheckKeyAccepted(evp_pkey_st* key);

}  // namespace countersign::identity
