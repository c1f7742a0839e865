// A fast hash of short byte strings for the engine's own read-only tables. Not for tables that
// peers can fill: it is not keyed.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace countersign::authz::engine {

inline uint64_t Mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// The bytes of a short string in two words; sizes up to 16 are taken without a loop.
inline uint64_t HashBytes(uint64_t seed, std::string_view bytes) {
  constexpr uint64_t kFirst = 0x9E3779B97F4A7C15;
  constexpr uint64_t kSecond = 0xD6E8FEB86659FD93;
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t hash = seed ^ (left * kFirst);
  auto read64 = [](const char* p) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    return word;
  };
  auto read32 = [](const char* p) {
    uint32_t word;
    std::memcpy(&word, p, 4);
    return static_cast<uint64_t>(word);
  };
  while (left > 16) {
    hash = Mix(read64(at) ^ kFirst, read64(at + 8) ^ hash);
    at += 16;
    left -= 16;
  }
  uint64_t low = 0;
  uint64_t high = 0;
  if (left >= 8) {
    low = read64(at);
    high = read64(at + left - 8);
  } else if (left >= 4) {
    low = read32(at);
    high = read32(at + left - 4);
  } else if (left > 0) {
    low = static_cast<uint8_t>(at[0]) |
          static_cast<uint64_t>(static_cast<uint8_t>(at[left / 2])) << 8 |
          static_cast<uint64_t>(static_cast<uint8_t>(at[left - 1])) << 16;
  }
  return Mix(low ^ kSecond, high ^ hash);
}

}  // namespace countersign::authz::engine
