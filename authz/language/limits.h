// The limits of the language library, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace countersign::authz::language {

// LanguageLimits bounds what one pattern or one question may cost. Over a limit the answer is an
// error with code kResourceExhausted that names the limit and the culprit; it is never "no", never
// "empty" and never "the same". The defaults keep one pattern under a second and 256 MiB.
struct LanguageLimits {
  // As the engine's: a longer pattern is generated, and belongs into several rules.
  size_t pattern_bytes_max = 4096;
  // Groups within groups. No reviewed pattern nests so deep, and the parser's stack stays small,
  // also under sanitizers.
  size_t pattern_depth_max = 200;
  // States of the automaton with empty moves: repetitions written out.
  size_t nfa_states_max = 200'000;
  // States of a deterministic automaton, before it is made minimal.
  size_t dfa_states_max = 50'000;
  // Visits of an NFA state while it is made deterministic; about 10 nanoseconds each.
  size_t determinize_steps_max = 30'000'000;
  // Entries of a transition table, before it is made minimal; four bytes each.
  size_t table_entries_max = 8'000'000;
  // States of a search through several automata at once.
  size_t search_states_max = 2'000'000;
};

// RE2's own: counts of a repetition, and their product where repetitions nest.
inline constexpr uint32_t kRepeatMax = 1000;

}  // namespace countersign::authz::language
