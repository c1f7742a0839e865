// Dfa is a complete deterministic automaton over bytes: the form in which languages are compared.
//
// After Minimize() it is the only one of its language: states numbered in the order in which a
// search from the start finds them, byte classes in the order of their least byte. So two languages
// are the same exactly if their Dfas are.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "authz/language/byte_set.h"
#include "authz/language/limits.h"
#include "authz/language/nfa.h"
#include "base/status.h"

namespace countersign::authz::language {

// ByteClasses groups bytes that no set tells apart.
class ByteClasses {
 public:
  ByteClasses() = default;  // One class of all bytes.
  // Split tells the bytes of `set` from the others.
  void Split(const ByteSet& set);
  // FromLabels puts bytes with the same label into one class.
  static ByteClasses FromLabels(const std::array<uint32_t, 256>& labels);
  uint8_t operator[](uint8_t byte) const { return class_of_[byte]; }
  size_t size() const { return size_; }
  // First is the least byte of each class.
  std::vector<uint8_t> First() const;
  bool operator==(const ByteClasses&) const = default;

 private:
  std::array<uint8_t, 256> class_of_ = {};
  uint32_t size_ = 1;
};

// Dfa is a plain value; its start is state 0.
struct Dfa {
  ByteClasses classes;
  std::vector<uint32_t> next;    // [state * classes.size() + class]
  std::vector<uint8_t> accepts;  // A state: 0 or 1.

  size_t states() const { return accepts.size(); }
  uint32_t Step(uint32_t state, uint8_t byte) const {
    return next[state * classes.size() + classes[byte]];
  }
  bool Matches(std::string_view text) const {
    uint32_t state = 0;
    for (char c : text) {
      state = Step(state, static_cast<uint8_t>(c));
    }
    return accepts[state] != 0;
  }
  bool operator==(const Dfa&) const = default;
};

// Determinize fails with kResourceExhausted over a limit.
StatusOr<Dfa> Determinize(const Nfa& nfa, const LanguageLimits& limits);

// Minimize takes a Dfa of which every state can be reached (Hopcroft's algorithm).
Dfa Minimize(const Dfa& dfa);

}  // namespace countersign::authz::language
