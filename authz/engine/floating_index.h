// FloatingIndex tells which of many patterns, that begin alike or with anything at all, are worth a
// try on a value: those that need a literal which the value holds. One automaton over all literals
// (Aho and Corasick, 1975) finds them in one pass over the value; then each pattern is tried alone.
//
// Its size grows with the literals, never with combinations of patterns, so there is no cliff: what
// cannot be told apart by literals is refused by name when the policy is loaded.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "authz/engine/lookup_scratch.h"
#include "authz/engine/patterns.h"
#include "base/status.h"

namespace countersign::authz::engine {

// FloatingIndex is immutable; threads may share it.
class FloatingIndex {
 public:
  struct Plan {
    size_t patterns = 0;
    size_t literals = 0;
    size_t states = 0;
    size_t always_tried = 0;  // Patterns that need no literal.
    void Add(const Plan& other);
  };

  // Build takes pattern numbers and their payloads. Fails with kResourceExhausted if too many
  // patterns have to be tried together, and names some of them.
  static StatusOr<FloatingIndex> Build(const std::map<uint32_t, std::vector<uint32_t>>& patterns,
                                       const PatternStore& store);
  const Plan& plan() const { return plan_; }

  // ForEach calls emit(payload) for each payload of each pattern that matches the value, until emit
  // returns false; gives false then, and when a budget is used up (scratch.fault).
  template <class Emit>
  bool ForEach(std::string_view value, const PatternStore& patterns, LookupScratch& scratch,
               Emit& emit) const {
    std::span<uint64_t> words = scratch.TakeWords(literal_words_ + pattern_words_);
    if (words.empty()) {
      return false;
    }
    std::span<uint64_t> wanted = words.subspan(literal_words_);
    FindLiterals(value, words.first(literal_words_));
    MarkPatterns(words.first(literal_words_), wanted);
    bool all = Try(wanted, value, patterns, scratch, emit);
    scratch.GiveBack(words.size());
    return all;
  }

 private:
  class Builder;
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  struct Pattern {
    uint32_t number = 0;
    Range payloads;
  };

  template <class Emit>
  bool Try(std::span<const uint64_t> wanted, std::string_view value, const PatternStore& patterns,
           LookupScratch& scratch, Emit& emit) const {
    for (size_t word = 0; word < wanted.size(); ++word) {
      for (uint64_t bits = wanted[word]; bits != 0; bits &= bits - 1) {
        if (scratch.bytes_left < value.size()) {
          scratch.fault = true;
          return false;
        }
        scratch.bytes_left -= value.size();
        const Pattern& pattern = patterns_[word * 64 + static_cast<size_t>(std::countr_zero(bits))];
        if (!patterns.Matches(pattern.number, value, scratch.memo)) {
          continue;
        }
        for (uint32_t i = pattern.payloads.begin; i < pattern.payloads.end; ++i) {
          if (!emit(payloads_[i])) {
            return false;
          }
        }
      }
    }
    return true;
  }

  // Marks the literals that the value holds.
  void FindLiterals(std::string_view value, std::span<uint64_t> found) const;
  // Marks the patterns that one of the literals is of, and those that need none.
  void MarkPatterns(std::span<const uint64_t> found, std::span<uint64_t> wanted) const;

  static constexpr uint32_t kHasLiteral = 0x80000000;  // In a row: the state or one behind it.

  std::array<uint8_t, 256> class_of_ = {};  // Letters without their case; 0: in no literal.
  uint32_t width_ = 1;
  std::vector<uint32_t> next_;     // Rows begin at state * width_.
  std::vector<uint32_t> literal_;  // A state: one more than the literal that ends here, or 0.
  std::vector<uint32_t> shorter_;  // A state: the nearest one with a literal that ends here too.
  std::vector<Range> of_literal_;  // Of members_.
  std::vector<uint32_t> members_;  // Places in patterns_.
  std::vector<Pattern> patterns_;  // Those that need no literal come first.
  std::vector<uint32_t> payloads_;
  size_t literal_words_ = 0;
  size_t pattern_words_ = 0;
  Plan plan_;
};

}  // namespace countersign::authz::engine
