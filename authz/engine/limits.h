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
  // Program and states of one RE2::Set. Below 32 MiB it flushes its cache under real traffic.
  int64_t pattern_set_memory_bytes = 64 << 20;
  // Patterns in one RE2::Set; more are spread over several, because one automaton over many
  // unanchored patterns grows exponentially.
  size_t patterns_per_set_max = 2000;
};

}  // namespace countersign::authz
