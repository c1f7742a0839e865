// Findings about policies that are right in form but seldom meant. None needs a proof.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "authz/kinds/loader.h"
#include "authz/model/policy.h"

namespace countersign::authz {

// LintPolicies returns warnings with positions: TCP ports that a deny with HTTP fields closes
// (semantics 8), unescaped dots in patterns over ids and hosts, identity sets that no rule uses,
// rules that expired, test-less sets, what an import let in because its source left it open.
std::vector<Diagnostic> LintPolicies(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                     std::span<const Service> services, WallTime now);

}  // namespace countersign::authz
