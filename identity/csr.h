// CertificateRequest is what an issuer takes from a PKCS#10 request: the public key, proven to be
// the requester's. Its subject and its requested extensions are read by nobody.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::identity {

struct CsrLimits {
  static constexpr size_t kBytesMax = 16 * 1024;  // RSA 8192 with every extension takes 3 KiB.
};

// CertificateRequest exists only for a request whose own signature holds. Immutable.
class CertificateRequest {
 public:
  // public_key_der is the SubjectPublicKeyInfo.
  const std::string& public_key_der() const { return public_key_der_; }

 private:
  friend StatusOr<CertificateRequest> ParseCsr(std::string_view der);
  explicit CertificateRequest(std::string der) : public_key_der_(std::move(der)) {}
  std::string public_key_der_;
};

// ParseCsr refuses what is too long, malformed, signed by another key, or of a key kind or size
// that this system does not trust.
StatusOr<CertificateRequest> ParseCsr(std::string_view der);

}  // namespace countersign::identity
