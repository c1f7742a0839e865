// Proves the PolicyAssertions of candidate sets, as `policy check` and every apply do, and what
// `policy check` says of single rules.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "authz/kinds/loader.h"
#include "authz/model/policy.h"
#include "authz/prove/options.h"
#include "base/clock.h"

namespace countersign::authz {

// ProveOptionsFor are the options of a proof at `now`, for paths as the ports of `services` let
// them in.
prove::ProveOptions ProveOptionsFor(std::span<const Service> services, WallTime now);

// AssertionFindings is what became of the assertions of some sets.
struct AssertionFindings {
  // An error at the place of each assertion that does not hold or is not proved, with a request.
  std::vector<Diagnostic> diagnostics;
  size_t proved = 0;
  bool gave_up = false;  // Some proof met a limit, and nothing was found to be violated.
};

// CheckAssertions proves every assertion of `sets` over all of them together.
AssertionFindings CheckAssertions(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                  std::span<const Service> services, WallTime now);

// ProvedLint warns of rules that change nothing and of patterns that no request matches.
std::vector<Diagnostic> ProvedLint(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                   std::span<const Service> services, WallTime now);

}  // namespace countersign::authz
