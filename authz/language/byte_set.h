// ByteSet is a set of bytes: the alphabet over which every pattern of a policy is judged.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace countersign::authz::language {

// ByteSet is a plain value of 32 bytes.
class ByteSet {
 private:
  // Stands before its uses in constant expressions, where clang asks for its definition.
  template <class Operation>
  constexpr ByteSet Combine(const ByteSet& other, Operation operation) const {
    ByteSet result;
    for (size_t i = 0; i < words_.size(); ++i) {
      result.words_[i] = operation(words_[i], other.words_[i]);
    }
    return result;
  }

 public:
  constexpr ByteSet() = default;
  static constexpr ByteSet All() { return ByteSet().Complement(); }
  static constexpr ByteSet Of(uint8_t byte) { return ByteSet().Add(byte); }
  // Range holds both ends; empty if first > last.
  static constexpr ByteSet Range(int first, int last) {
    ByteSet set;
    for (int byte = first; byte <= last; ++byte) {
      set.Add(static_cast<uint8_t>(byte));
    }
    return set;
  }

  constexpr ByteSet& Add(uint8_t byte) {
    words_[byte / 64] |= uint64_t{1} << (byte % 64);
    return *this;
  }
  constexpr bool Contains(uint8_t byte) const {
    return (words_[byte / 64] >> (byte % 64) & 1) != 0;
  }
  constexpr bool empty() const { return (words_[0] | words_[1] | words_[2] | words_[3]) == 0; }
  constexpr size_t size() const {
    size_t count = 0;
    for (uint64_t word : words_) {
      count += static_cast<size_t>(std::popcount(word));
    }
    return count;
  }

  constexpr ByteSet Complement() const {
    return Combine(*this, [](uint64_t a, uint64_t) { return ~a; });
  }
  constexpr ByteSet operator|(const ByteSet& other) const {
    return Combine(other, [](uint64_t a, uint64_t b) { return a | b; });
  }
  constexpr ByteSet operator&(const ByteSet& other) const {
    return Combine(other, [](uint64_t a, uint64_t b) { return a & b; });
  }
  constexpr ByteSet operator-(const ByteSet& other) const {
    return Combine(other, [](uint64_t a, uint64_t b) { return a & ~b; });
  }
  constexpr bool operator==(const ByteSet&) const = default;

  constexpr size_t Hash() const {
    uint64_t hash = 0;
    for (uint64_t word : words_) {
      hash = (hash ^ word) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 32;
    }
    return static_cast<size_t>(hash);
  }

 private:
  std::array<uint64_t, 4> words_ = {};
};

}  // namespace countersign::authz::language
