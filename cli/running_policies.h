// What a server runs now, as if it were files.
#pragma once

#include <memory>
#include <vector>

#include "authz/kinds/loader.h"
#include "base/status.h"
#include "cli/command.h"

namespace countersign::cli {

// RunningPolicies asks the server at the context's administration socket for the policy sets that
// run and the services; their places are named "running/SET/...". An error when the server cannot
// be asked, or holds what this program does not load: it may be newer.
StatusOr<authz::LoadResult> RunningPolicies(const Context& context);

// KeepOthers adds the running sets that `applied` does not bring: an apply replaces the sets that
// it brings, and no other.
using PolicySets = std::vector<std::shared_ptr<const authz::PolicySet>>;
void KeepOthers(const PolicySets& running, PolicySets& applied);

}  // namespace countersign::cli
