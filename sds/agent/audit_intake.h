// Who may hand audit rings over to this node's log.
#pragma once

#include <sys/types.h>

#include "base/status.h"
#include "sds/agent/node_state.h"
#include "sds/agent/workload_attestor.h"

namespace countersign::agent {

// MayHandOver admits users that a registration of a proxy selects. It asks the kernel's credentials
// alone: a ring adds records to the log and reads none, and each record names the ring's owner.
Status MayHandOver(const NodeState* state, SelectorMode mode,
                   const AttestedProcess::Credentials& peer);

}  // namespace countersign::agent
