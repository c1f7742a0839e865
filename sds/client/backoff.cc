#include "sds/client/backoff.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/crypto/random.h"

namespace countersign::sds {

std::chrono::milliseconds Backoff::Next() {
  uint32_t random = 0;
  std::memcpy(&random, RandomBytes(sizeof(random)).data(), sizeof(random));
  int64_t full = next_.count();
  next_ = std::min(next_ * 2, bounds_.most);
  return std::chrono::milliseconds(full - static_cast<int64_t>(random % (full / 2 + 1)));
}

}  // namespace countersign::sds
