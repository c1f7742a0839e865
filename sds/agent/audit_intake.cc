#include "sds/agent/audit_intake.h"

#include <unistd.h>

namespace countersign::agent {

Status MayHandOver(const NodeState* state, SelectorMode mode,
                   const AttestedProcess::Credentials& peer) {
  if (state == nullptr) {
    return Unavailable("the agent has not heard from its server yet");
  }
  for (const auto& registration : state->registrations()) {
    const authz::UnixSelectors& selectors = registration->selectors;
    bool holds = mode == SelectorMode::kDemo ? peer.uid == ::geteuid()
                                             : (!selectors.uid || *selectors.uid == peer.uid) &&
                                                   (!selectors.gid || *selectors.gid == peer.gid);
    if (registration->proxy && holds) {
      return absl::OkStatus();
    }
  }
  return PermissionDenied("no proxy is registered on this node for uid ", peer.uid);
}

}  // namespace countersign::agent
