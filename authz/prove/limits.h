// The limits of the prover, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "authz/language/limits.h"
#include "authz/language/partition.h"

namespace countersign::authz::prove {

// ProverLimits bounds what one question may cost. All are counts, so that a question that is
// answered on one machine is answered on every other. Over a limit the answer is "gave up", with
// the rules that cost most; it is never "the same" and never "holds".
struct ProverLimits {
  // One pattern as an automaton.
  language::LanguageLimits language;
  // One coordinate's values cut by the patterns that meet there. 150,000 states are about 40 MiB
  // and a tenth of a second.
  language::PartitionLimits partition;
  // All partitions of one question together: some seconds.
  size_t partition_steps_max = 1'000'000'000;
  // All their states, which are kept: about 1 GiB.
  size_t partition_states_max = 3'000'000;
  // Cells looked at; some microseconds each.
  size_t cells_max = 2'000'000;
  // Rules looked at in those cells; about 20 nanoseconds each.
  size_t cell_steps_max = 500'000'000;
  // What several values of one key can come to, where rules ask for `many`.
  size_t many_outcomes_max = 2'000;
  // Regions listed; nobody reads more, and a report that is cut says so.
  size_t regions_max = 500;
  // Rules tried to name one that holds another's requests; two questions each.
  size_t blamed_rules_max = 64;
};

}  // namespace countersign::authz::prove
