#include "base/crypto/random.h"

#include <openssl/rand.h>

#include "base/crypto/hash.h"
#include "base/status.h"

namespace countersign {

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) == 1);
  return bytes;
}

std::string RandomHex(size_t byte_count) { return HexLower(RandomBytes(byte_count)); }

}  // namespace countersign
