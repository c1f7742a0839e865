// PatternAutomaton is a pattern's minimal automaton in the form that decisions run: one load of a
// class and one of a row for each byte, and no memory but its own.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "authz/engine/limits.h"
#include "base/status.h"

namespace countersign::authz::engine {

// PatternAutomaton is immutable; threads may share it.
class PatternAutomaton {
 public:
  // Create fails with kResourceExhausted if the automaton is over its budget, and says which.
  static StatusOr<PatternAutomaton> Create(std::string_view pattern, const EngineLimits& limits);

  bool Matches(std::string_view value) const {
    const uint16_t* next = next_.data();
    uint32_t row = 0;
    for (char c : value) {
      row = next[row + class_of_[static_cast<uint8_t>(c)]];
      if (row >= sinks_from_) {
        break;  // Nothing changes from here on.
      }
    }
    return accepts_[row / width_];
  }

  size_t states() const { return accepts_.size(); }
  size_t bytes() const { return sizeof(*this) + next_.size() * 2 + accepts_.size() / 8; }

 private:
  PatternAutomaton() = default;
  std::array<uint8_t, 256> class_of_ = {};
  uint32_t width_ = 1;
  uint32_t sinks_from_ = 0;     // Rows of states that lead to themselves alone come last.
  std::vector<uint16_t> next_;  // Rows begin at state * width_, and that is what a row holds.
  std::vector<bool> accepts_;
};

}  // namespace countersign::authz::engine
