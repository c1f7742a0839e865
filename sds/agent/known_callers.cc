#include "sds/agent/known_callers.h"

#include <unistd.h>

#include <algorithm>

namespace countersign::agent {

bool IsKnownCaller(const NodeState* state, SelectorMode mode,
                   const AttestedProcess::Credentials& caller) {
  if (mode == SelectorMode::kDemo || caller.uid == 0 || caller.uid == ::geteuid()) {
    return true;
  }
  return state != nullptr &&
         std::any_of(state->registrations().begin(), state->registrations().end(),
                     [&](const auto& registration) {
                       const authz::UnixSelectors& selectors = registration->selectors;
                       return selectors.uid ? *selectors.uid == caller.uid
                                            : selectors.gid && *selectors.gid == caller.gid;
                     });
}

}  // namespace countersign::agent
