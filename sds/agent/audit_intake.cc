#include "sds/agent/audit_intake.h"

#include <unistd.h>

namespace countersign::agent {

StatusOr<std::vector<std::string>> WorkloadsOf(const NodeState* state, SelectorMode mode,
                                               const AttestedProcess::Credentials& peer) {
  if (state == nullptr) {
    return Unavailable("the agent has not heard from its server yet");
  }
  std::vector<std::string> workloads;
  for (const auto& registration : state->registrations()) {
    const authz::UnixSelectors& selectors = registration->selectors;
    bool holds = mode == SelectorMode::kDemo ? peer.uid == ::geteuid()
                                             : (!selectors.uid || *selectors.uid == peer.uid) &&
                                                   (!selectors.gid || *selectors.gid == peer.gid);
    if (registration->proxy && holds) {
      workloads.push_back(registration->id);
    }
  }
  if (workloads.empty()) {
    return PermissionDenied("no proxy is registered on this node for uid ", peer.uid);
  }
  return workloads;
}

}  // namespace countersign::agent
