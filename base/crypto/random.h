// Random bytes from OpenSSL's generator, which the kernel seeds.
#pragma once

#include <string>

namespace countersign {

// RandomBytes gives `count` unpredictable bytes; it ends the process when there are none, because
// nothing of ours is safe without them.
std::string RandomBytes(size_t count);
// RandomHex gives `byte_count` random bytes as lower-case hexadecimal.
std::string RandomHex(size_t byte_count);

}  // namespace countersign
