// The limits of replays, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

namespace countersign::audit {

// ReplayLimits bounds what one replay keeps, whatever the size of the log: under 100 MB beside the
// policies. Over a limit marked "error" nothing is reported; the others are told in the report.
struct ReplayLimits {
  // Workloads in the window; a node runs hundreds at most. Error.
  size_t workloads_max = 4096;
  // Keys of headers, query and claims that the rules of one workload name: one bit each. Error.
  size_t named_keys_max = 64;
  // Ways in which a workload's records lack fields; beyond it they count as lacking all of them.
  size_t lacks_max = 16;
  // Groups of flips; nobody reads more. Further flips are counted only.
  size_t groups_max = 10'000;
  size_t samples_max = 3;          // Of one group.
  size_t sample_bytes_max = 2048;  // A longer request is known by its decision's id.
  size_t shape_bytes_max = 512;    // Paths are grouped by so much of their beginning.
  // Different requests that are looked for in the regions of the diff, and all looks together: some
  // seconds. Beyond them a region that was not found is "not known", not "never exercised".
  size_t distinct_requests_max = 100'000;
  size_t looks_max = 2'000'000;
  // Entries of the log between two calls of the progress function: about 100 milliseconds.
  uint64_t progress_every = 32'768;
};

}  // namespace countersign::audit
