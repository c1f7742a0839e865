#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace countersign {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82f63b78U : crc >> 1;
    }
    table[i] = crc;
  }
  return table;
}

uint32_t ByTable(const char* data, size_t size, uint32_t crc) {
  static constexpr std::array<uint32_t, 256> kTable = MakeTable();
  for (size_t i = 0; i < size; ++i) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(data[i])) & 0xff];
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t ByInstruction(const char* data, size_t size,
                                                         uint32_t crc) {
  uint64_t wide = crc;
  while (size >= sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, data, sizeof(word));
    wide = __builtin_ia32_crc32di(wide, word);
    data += sizeof(word);
    size -= sizeof(word);
  }
  return ByTable(data, size, static_cast<uint32_t>(wide));
}
#endif

}  // namespace

uint32_t Crc32c(std::string_view bytes, uint32_t crc) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) {
    return ~ByInstruction(bytes.data(), bytes.size(), ~crc);
  }
#endif
  return ~ByTable(bytes.data(), bytes.size(), ~crc);
}

}  // namespace countersign
