// The first contact with the server: the bundle by its pin, then the join token for an SVID.
#pragma once

#include <string>

#include "base/clock.h"
#include "identity/trust_bundle.h"
#include "sds/agent/data_folder.h"

namespace countersign::agent {

struct JoinOptions {
  identity::TrustDomain trust_domain;
  std::string server;  // "127.0.0.1:8081"
  std::string bundle_sha256;
  std::string token;
};

struct Joined {
  StoredSvid svid;
  identity::TrustBundle bundle;
};

// Join makes one attempt. UNAVAILABLE means that the server could not be reached: try again. Any
// other error is final for this token and pin.
StatusOr<Joined> Join(const JoinOptions& options, const Clock& clock);

// CheckAgentId says whether an ID is one that an agent of the trust domain may have.
Status CheckAgentId(const identity::SpiffeId& id, const identity::TrustDomain& domain);

}  // namespace countersign::agent
