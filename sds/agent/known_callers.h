// Which users this node's registrations have to do with, for places on the agent's socket.
#pragma once

#include "sds/agent/attested_process.h"
#include "sds/agent/node_state.h"
#include "sds/agent/workload_attestor.h"

namespace countersign::agent {

// IsKnownCaller says whether a registration names the caller's uid, or only its gid, or whether the
// caller is the agent's own user or root. It gives no identity: that is the attestor's part. With
// demo selectors, which tell no users apart, everybody is known. `state` may be null.
bool IsKnownCaller(const NodeState* state, SelectorMode mode,
                   const AttestedProcess::Credentials& caller);

}  // namespace countersign::agent
