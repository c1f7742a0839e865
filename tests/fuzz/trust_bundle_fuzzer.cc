// A bundle that is accepted prints as one that reads as the same.
#include <openssl/err.h>

#include <cstdint>
#include <string_view>

#include "identity/trust_bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;
  using namespace countersign::identity;
  static const TrustDomain kShop = *TrustDomain::Parse("shop.example");
  std::string_view input(reinterpret_cast<const char*>(data), size);
  StatusOr<TrustBundle> bundle = TrustBundle::ParseJson(kShop, input);
  if (bundle.ok()) {
    StatusOr<TrustBundle> again = TrustBundle::ParseJson(kShop, bundle->ToJson());
    CHECK(again.ok() && again->ToJson() == bundle->ToJson());
    CHECK(again->sequence() == bundle->sequence());
    CHECK(again->refresh_hint() == bundle->refresh_hint());
    CHECK(again->authorities_der() == bundle->authorities_der());
  }
  StatusOr<TrustBundle> pem = TrustBundle::FromPem(kShop, input);
  CHECK(!pem.ok() || TrustBundle::FromPem(kShop, pem->AuthoritiesPem()).ok());
  CHECK(ERR_peek_error() == 0);
  return 0;
}
