// DecisionBench measures decisions of the compiled policy over the bench's shape, beside two ways
// to do them with RE2 alone, in one run: `countersign policy bench` and bench/run print it.
//
// Times are the thread's own CPU time of batches of 64 decisions, divided by 64, so that what else
// the machine does counts only through the caches. Before a batch its requests are copied to one
// place, untimed: a proxy has just parsed what it judges. The policy, and the view of each kept
// connection, are as cold as 10,000 others leave them.
#pragma once

#include <cstddef>

#include "authz/bench/policy_shape.h"
#include "base/status.h"

namespace countersign::bench {

// Percentiles of one decision, in nanoseconds.
struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};

struct BenchOptions {
  size_t rules = 10'000;
  size_t workloads = 50;
  bool contenders = true;  // Also measure RE2 alone.
};

struct BenchResult {
  size_t rules = 0;
  double load_ms = 0;     // From the text of the files to the compiled policy.
  double compile_ms = 0;  // Of it, compiling.
  double rss_mb = 0;      // Resident memory that this took and kept.
  Percentiles fresh;      // A new caller each time.
  Percentiles kept;       // On a kept connection, another one each time.
  double re2_set_p50 = 0;
  double linear_re2_p50 = 0;
};

inline constexpr size_t kBenchRulesMax = 100'000;  // The engine's own.

// RunBench fails with kInvalidArgument on sizes that it cannot make, and with kInternal if the
// contenders disagree: then nothing that was measured means anything.
StatusOr<BenchResult> RunBench(const BenchOptions& options);

}  // namespace countersign::bench
