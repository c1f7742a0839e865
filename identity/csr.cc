#include "identity/csr.h"

#include <openssl/err.h>

#include "base/crypto/openssl.h"
#include "identity/key.h"

namespace countersign::identity {

StatusOr<CertificateRequest> ParseCsr(std::string_view der) {
  if (der.size() > CsrLimits::kBytesMax) {
    return ResourceExhausted("certificate request is larger than the limit of ",
                             CsrLimits::kBytesMax, " bytes");
  }
  const unsigned char* at = AsBytes(der);
  X509ReqPtr request(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (request == nullptr || at != AsBytes(der) + der.size()) {
    return MalformedError("certificate request is not PKCS#10 in DER");
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr) {
    return MalformedError("certificate request has no readable public key");
  }
  Status accepted = CheckKeyAccepted(key);
  if (!accepted.ok()) {
    return Annotate(accepted, "certificate request");
  }
  // Without this check anybody could have somebody else's public key certified as their own.
  if (X509_REQ_verify(request.get(), key) != 1) {
    return MalformedError("certificate request is not signed by its own key");
  }
  unsigned char* raw = nullptr;
  int size = i2d_PUBKEY(key, &raw);
  OpenSslBytesPtr bytes(raw);
  if (size <= 0) {
    return OpenSslError("encode public key of certificate request");
  }
  ERR_clear_error();
  return CertificateRequest(std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(size)));
}

}  // namespace countersign::identity
