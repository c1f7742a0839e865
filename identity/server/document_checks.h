// What the server knows and the loader cannot: whether documents fit this trust domain, and whether
// what they name is there.
#pragma once

#include <chrono>
#include <vector>

#include "authz/kinds/loader.h"
#include "identity/server/registry_state.h"
#include "identity/spiffe_id.h"

namespace countersign::server {

struct DocumentCheckOptions {
  identity::TrustDomain trust_domain;
  std::chrono::nanoseconds longest_svid_ttl;
};

// CheckDocuments gives errors (an ID outside the domain or reserved, a life too long) and warnings
// (a name that neither the registry nor this apply has).
std::vector<authz::Diagnostic> CheckDocuments(const RegistryState& state,
                                              const authz::LoadResult& loaded,
                                              const DocumentCheckOptions& options);

}  // namespace countersign::server
