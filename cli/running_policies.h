// What a server runs now, as if it were files.
#pragma once

#include "authz/kinds/loader.h"
#include "base/status.h"
#include "cli/command.h"

namespace countersign::cli {

// RunningPolicies asks the server at the context's administration socket for the policy sets that
// run and the services; their places are named "running/SET/...". An error when the server cannot
// be asked, or holds what this program does not load: it may be newer.
StatusOr<authz::LoadResult> RunningPolicies(const Context& context);

}  // namespace countersign::cli
