// SHA-256 and lower-case hexadecimal.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

struct evp_md_ctx_st;

namespace countersign {

using Sha256Digest = std::array<uint8_t, 32>;

// Sha256 hashes bytes in one call; it keeps one context a thread, so it allocates nothing.
Sha256Digest Sha256(std::string_view bytes);

// Sha256Hasher hashes bytes that come in parts. One use: Finish ends it. One thread.
class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(const Sha256Hasher&) = delete;
  Sha256Hasher& operator=(const Sha256Hasher&) = delete;
  void Update(std::string_view bytes);
  Sha256Digest Finish();

 private:
  evp_md_ctx_st* context_;
};

// HexLower prints two lower-case digits a byte.
std::string HexLower(std::span<const uint8_t> bytes);
std::string HexLower(std::string_view bytes);
// HexDecode reads what HexLower prints; upper-case digits are accepted, nothing else is.
StatusOr<std::string> HexDecode(std::string_view text);

}  // namespace countersign
