// Snapshot: everything that the workers share, as one immutable value.
#pragma once

#include <memory>

#include "authz/engine/authorizer.h"
#include "proxy_agent/configuration.h"
#include "proxy_agent/listener_set.h"
#include "proxy_agent/own_identity.h"

namespace countersign::proxy {

// Snapshot is published as a whole; a worker looks at it once an event batch. Parts that have not
// arrived yet are null.
struct Snapshot {
  std::shared_ptr<const OwnIdentity> identity;
  std::shared_ptr<const Configuration> configuration;
  std::shared_ptr<const ListenerSet> listeners;
  uint64_t config_generation = 0;  // Raised with each configuration that was taken.
  authz::VerdictBasis basis;

  // Complete: identity, bundle and policy are held. Serving also needs an SVID that is valid now.
  bool Complete() const { return identity != nullptr && configuration != nullptr; }
  bool MayServe(WallTime now) const {
    return Complete() && identity->svid().not_after() > now &&
           identity->svid().id() == configuration->workload();
  }
};

}  // namespace countersign::proxy
