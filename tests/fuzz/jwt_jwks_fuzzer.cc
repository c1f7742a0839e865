// Any bytes as a key set: what is accepted can be found by its kid, and fits some algorithm.
#include <openssl/err.h>

#include <cstdint>
#include <string_view>

#include "identity/jwt/jwks.h"
#include "identity/jwt/limits.h"
#include "identity/key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;
  using namespace countersign::identity;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  for (JwkProfile profile : {JwkProfile::kSignature, JwkProfile::kJwtSvid}) {
    StatusOr<Jwks> keys = Jwks::Parse(input, profile);
    CHECK(ERR_peek_error() == 0);
    if (!keys.ok()) {
      continue;
    }
    CHECK(keys->keys().size() + keys->ignored().size() <= JwtLimits::kJwksKeysMax);
    for (const Jwk& key : keys->keys()) {
      CHECK(key.kid.empty() ? profile == JwkProfile::kSignature : keys->Find(key.kid) == &key);
      size_t fits = 0;
      for (size_t i = 0; i < kJwsAlgorithmCount; ++i) {
        fits += key.Fits(static_cast<JwsAlgorithm>(i)) ? 1 : 0;
      }
      CHECK(fits >= 1);
      CHECK(key.type != KeyType::kRsa || CheckKeyAccepted(key.key.get()).ok());
    }
  }
  return 0;
}
