// Who may hand audit rings over to this node's log, and for whom they speak.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "sds/agent/node_state.h"
#include "sds/agent/workload_attestor.h"

namespace countersign::agent {

// WorkloadsOf gives the SPIFFE IDs of the proxies that registrations select for this user; none is
// an error that says why. It asks the kernel's credentials alone: a ring adds records to the log
// and reads none, and proxies of one user, told apart by their programs, may speak for each other.
StatusOr<std::vector<std::string>> WorkloadsOf(const NodeState* state, SelectorMode mode,
                                               const AttestedProcess::Credentials& peer);

}  // namespace countersign::agent
