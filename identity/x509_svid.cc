#include "identity/x509_svid.h"

#include <algorithm>

#include "identity/certificate.h"
#include "identity/peer_verifier.h"
#include "identity/svid_profile.h"

namespace countersign::identity {
namespace {

Status Broken(size_t index, VerifyError error) {
  return InvalidArgument("SVID chain, certificate ", index + 1, ": ", VerifyErrorName(error));
}

StatusOr<SpiffeId> CheckOwnLeaf(X509* leaf, const PrivateKey& key) {
  LeafName name = ReadLeafName(leaf);
  if (!name.id.has_value()) {
    return Broken(0, name.error);
  }
  if (name.id->path().empty()) {
    return Broken(0, VerifyError::kNoPath);
  }
  if (auto error = CheckLeaf(leaf)) {
    return Broken(0, *error);
  }
  EVP_PKEY* certified = X509_get0_pubkey(leaf);
  if (certified == nullptr || EVP_PKEY_eq(certified, key.native()) != 1) {
    return MalformedError("private key is not the key of the SVID");
  }
  return *std::move(name.id);
}

}  // namespace

StatusOr<X509Svid> X509Svid::Create(std::vector<std::string> chain_der, std::string key_pkcs8_der) {
  if (chain_der.empty()) {
    return InvalidArgument("SVID chain is empty");
  }
  if (chain_der.size() > VerifyLimits::kPresentedMax) {
    return ResourceExhausted("SVID chain is longer than the limit of ", VerifyLimits::kPresentedMax,
                             " certificates");
  }
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPkcs8Der(key_pkcs8_der));
  std::optional<SpiffeId> id;
  std::string serial;
  WallTime not_before = WallTime::min();
  WallTime not_after = WallTime::max();
  for (size_t i = 0; i < chain_der.size(); ++i) {
    X509Ptr certificate = DecodeCertificate(chain_der[i]);
    if (certificate == nullptr) {
      return Broken(i, VerifyError::kMalformedCertificate);
    }
    if (i == 0) {
      ASSIGN_OR_RETURN(id, CheckOwnLeaf(certificate.get(), key));
      serial = SerialHex(certificate.get());
    } else if (auto error = CheckIssuer(certificate.get(), nullptr)) {
      return Broken(i, *error);
    }
    not_before = std::max(not_before, NotBefore(certificate.get()));
    not_after = std::min(not_after, NotAfter(certificate.get()));
  }
  X509Svid svid(*std::move(id));
  svid.chain_der_ = std::move(chain_der);
  svid.key_pkcs8_der_ = std::move(key_pkcs8_der);
  svid.serial_ = std::move(serial);
  svid.not_before_ = not_before;
  svid.not_after_ = not_after;
  return svid;
}

StatusOr<X509Svid> X509Svid::FromConcatenatedDer(std::string_view chain,
                                                 std::string key_pkcs8_der) {
  ASSIGN_OR_RETURN(std::vector<std::string> chain_der,
                   SplitDer(chain, VerifyLimits::kPresentedMax));
  return Create(std::move(chain_der), std::move(key_pkcs8_der));
}

StatusOr<X509Svid> X509Svid::FromPem(std::string_view chain_pem, std::string_view key_pem) {
  ASSIGN_OR_RETURN(std::vector<std::string> chain,
                   SplitPem(chain_pem, VerifyLimits::kPresentedMax));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::FromPem(key_pem));
  ASSIGN_OR_RETURN(std::string key_der, key.ToPkcs8Der());
  return Create(std::move(chain), std::move(key_der));
}

std::string X509Svid::ChainPem() const {
  std::string pem;
  for (const std::string& der : chain_der_) {
    pem += CertificatePem(der);
  }
  return pem;
}

std::string X509Svid::KeyPem() const {
  // Create has read these bytes, so they can be written again.
  StatusOr<PrivateKey> key = PrivateKey::FromPkcs8Der(key_pkcs8_der_);
  CHECK(key.ok());
  StatusOr<std::string> pem = key->ToPkcs8Pem();
  CHECK(pem.ok());
  return *std::move(pem);
}

}  // namespace countersign::identity
