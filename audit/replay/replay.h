// Replay: what a candidate policy would have said of the requests that nodes' logs hold.
//
// Each log is read whole and held against its signed root, as a search does: over a damaged log
// there is no report. A record without a field that the verdict hangs on is counted apart, by the
// field; it is never "the same".
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "audit/replay/exercised.h"
#include "audit/replay/flips.h"
#include "audit/replay/limits.h"
#include "audit/replay/window.h"
#include "authz/engine/compiled_policy.h"
#include "authz/prove/options.h"
#include "base/status.h"

namespace countersign::audit {

struct ReplayQuestion {
  LogWindow window;
  authz::PolicySets candidate;
  // Policies as they were, folder by folder: they say which headers records hold. The first is the
  // one that the exact difference is made against; without one there is none.
  std::vector<authz::PolicySets> old;
  authz::prove::ProveOptions prove;
  ReplayLimits limits;
};

struct ReplayReport {
  WindowCounts window;
  uint64_t same = 0;
  uint64_t newly_allowed = 0;
  uint64_t newly_denied = 0;
  uint64_t unjudged = 0;
  std::vector<FlipGroup> flips;  // Newly allowed first, then by count.
  uint64_t ungrouped_flips = 0;
  std::vector<UnjudgedGroup> unjudged_groups;  // By count.
  // Allows that rest on a lacking field having come at most once, by the field.
  std::map<std::string, uint64_t> assumed_once;
  std::optional<ExercisedRegions> regions;  // If there is an old version and the proof was made.
  Status proof;                             // Why there are none, if it was not made.

  uint64_t judged() const { return same + newly_allowed + newly_denied; }
};

// Replay fails on a damaged log, over a limit marked so, and if the policies cannot be compiled.
StatusOr<ReplayReport> Replay(const ReplayQuestion& question);

}  // namespace countersign::audit
