// Any bytes as a certificate request and as a private key.
#include <openssl/err.h>

#include <cstdint>
#include <string_view>

#include "identity/csr.h"
#include "identity/key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;
  using namespace countersign::identity;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  StatusOr<CertificateRequest> request = ParseCsr(input);
  CHECK(!request.ok() || !request->public_key_der().empty());
  StatusOr<PrivateKey> key = PrivateKey::FromPkcs8Der(input);
  if (key.ok()) {
    StatusOr<std::string> der = key->ToPkcs8Der();
    CHECK(der.ok() && PrivateKey::FromPkcs8Der(*der).ok());
  }
  StatusOr<PrivateKey> from_pem = PrivateKey::FromPem(input);
  CHECK(!from_pem.ok() || from_pem->ToPkcs8Der().ok());
  CHECK(ERR_peek_error() == 0);
  return 0;
}
