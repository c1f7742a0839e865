// The exact difference in meaning of two versions of all policies: every region of requests whose
// verdict changes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/prove/judge.h"
#include "authz/prove/options.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Change is one region of a difference. Regions do not overlap.
struct Change {
  bool newly_allowed = false;           // Else newly denied.
  std::vector<std::string> conditions;  // All must hold; none: every request.
  PolicyTestCase::Request request;      // One of the region.
  bool replayable = true;               // The request can be written into a file.
  Judgement before;                     // The engine's own verdicts on it.
  Judgement after;
};

class DiffRegions;

// DiffReport is the whole difference, newly allowed regions first. Copies share what is immutable.
struct DiffReport {
  std::vector<Change> changes;
  std::shared_ptr<const DiffRegions> regions;  // For Contains.
  // False: there are more regions than ProverLimits::regions_max; those listed are true.
  bool complete = true;
  bool same() const { return changes.empty(); }
};

// DiffPolicies proves. It fails with kResourceExhausted when it gave up, and with kInternal if the
// engine does not say of a witness what the proof says.
StatusOr<DiffReport> DiffPolicies(const PolicySets& before, const PolicySets& after,
                                  const ProveOptions& options);

// Contains says whether a canonical request is in the region of change number `change`. One thread.
bool Contains(const DiffReport& report, size_t change, const CanonicalRequest& request);

}  // namespace countersign::authz::prove
