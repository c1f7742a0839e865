// Holds the language library against RE2, which judges in production: does it accept the pattern,
// and does it match the text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/support/pattern_generator.h"

namespace countersign::authz::language {

// DifferentialTally counts what was compared.
struct DifferentialTally {
  uint64_t patterns = 0;
  uint64_t refused = 0;         // By both.
  uint64_t too_large = 0;       // For one of the two: nothing to compare.
  uint64_t pairs = 0;           // (pattern, text) pairs judged by both.
  uint64_t matched = 0;         // Of them by both.
  uint64_t dfa_states_max = 0;  // Of the largest automaton met.
  uint64_t disagreements = 0;
};

// ComparePattern judges `texts` border texts by both and counts. Gives a line that says how they
// disagree, if they do.
std::optional<std::string> ComparePattern(std::string_view pattern, uint32_t texts, Random& random,
                                          DifferentialTally& tally);

// CompareText judges one pair; nothing if both agree or one has no verdict.
std::optional<std::string> CompareText(std::string_view pattern, std::string_view text);

}  // namespace countersign::authz::language
