// Seeded patterns over the whole of RE2's syntax, right and wrong ones, and texts at the borders of
// what a pattern matches. The same seed gives the same on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "authz/language/language.h"

namespace countersign::authz::language {

// Random is a small generator (splitmix64); not for secrets.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  // Below is uniform enough in [0, end).
  uint32_t Below(uint32_t end) { return static_cast<uint32_t>((Next() >> 32) * end >> 32); }
  bool OneIn(uint32_t count) { return Below(count) == 0; }

 private:
  uint64_t state_;
};

// GeneratePattern is a pattern of a few dozen bytes; about one in six is not well-formed.
std::string GeneratePattern(Random& random);

// BorderTexts draws texts near the border of one language: accepted ones, the same with a byte
// changed, cut, doubled or put in, class edges, bytes that are no UTF-8. Borrows the language.
class BorderTexts {
 public:
  explicit BorderTexts(const Language& language);
  explicit BorderTexts(Language&&) = delete;
  // Next overwrites `text`.
  void Next(Random& random, std::string& text);

 private:
  void Accepted(Random& random, std::string& text) const;
  void Mutate(Random& random, std::string& text) const;
  uint8_t ByteOf(Random& random, size_t byte_class) const;

  const Dfa& dfa_;
  std::vector<uint32_t> distance_;             // A state: bytes to the nearest acceptance.
  std::vector<std::vector<uint8_t>> members_;  // A class: its bytes.
  std::vector<uint8_t> edges_;                 // Bytes beside which another class begins.
};

}  // namespace countersign::authz::language
