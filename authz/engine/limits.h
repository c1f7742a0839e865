// The limits of the policy engine, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "authz/model/canonical_limits.h"

namespace countersign::authz {

// EngineLimits bounds what a compiled policy may hold and what a request may bring. Over a limit
// Compile returns an error that names it; a request over one is refused.
struct EngineLimits {
  // A fleet's largest known rule count times ten; rule numbers stay well inside 32 bits.
  size_t rules_max = 100'000;
  // A rule whose entries multiply beyond this reads as something else than it does.
  size_t boxes_per_rule_max = 64;
  // All boxes of a policy, so that one decision's bookkeeping fits a worker's second-level cache.
  size_t boxes_max = 400'000;
  // A longer pattern is generated, and belongs into several rules.
  size_t pattern_bytes_max = 4096;
  // Program and states of one pattern. Its program may take two thirds; RE2 fails on more.
  int64_t pattern_memory_bytes = 1 << 20;
  // A pattern's own automaton: states and visits while it is made (2 milliseconds), and transitions
  // once it is minimal (128 KiB, which a 16-bit row number can address). One over it stays with
  // RE2.
  size_t automaton_states_max = 4096;
  size_t automaton_steps_max = 200'000;
  size_t automaton_entries_max = 65'535;
  // All automata of a policy together; two hundred times what common patterns need at 10,000 rules.
  size_t automata_bytes_max = 64 << 20;
  // Patterns of a policy that stay with RE2: each takes its lock and may build states while it
  // decides, so a policy that is full of them is refused.
  size_t re2_patterns_max = 256;
  // Patterns that one value may have to be tried on although it begins with their literal and holds
  // what they need: more have nothing that tells them apart, and the policy is refused.
  size_t patterns_tried_max = 256;
  // The table that finds which patterns' literals a value holds.
  size_t floating_entries_max = 16'000'000;
  // Bytes that all tried patterns of one decision may read together: about two milliseconds. One
  // that needs more, which only a value made for it does, is denied with engine_fault.
  size_t decision_bytes_max = 1 << 20;
};

}  // namespace countersign::authz
