// Who may do what: every region of requests that is allowed, within a part that one asks about.
#pragma once

#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/prove/assertion.h"
#include "authz/prove/options.h"
#include "base/status.h"

namespace countersign::authz::prove {

// AllowedReport lists what is allowed of the part. Regions do not overlap; the judgement of each is
// the engine's own on its request.
struct AllowedReport {
  std::vector<Counterexample> regions;
  bool complete = true;  // False: there are more than ProverLimits::regions_max.
};

// WhoCan proves which requests of `part` are allowed; `part` is read as the region of a `never`.
// Fails with kResourceExhausted when it gave up, with kInternal if the engine contradicts.
StatusOr<AllowedReport> WhoCan(const PolicySets& sets, const PolicyAssertion& part,
                               const ProveOptions& options);

}  // namespace countersign::authz::prove
