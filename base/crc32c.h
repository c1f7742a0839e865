// CRC-32C (RFC 3720, appendix B.4): finds accidents in shared memory and files, never an attacker.
#pragma once

#include <cstdint>
#include <string_view>

namespace countersign {

// Crc32c continues `crc` (0 to begin) over `bytes`. Safe for any thread.
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

}  // namespace countersign
