// What a caller is told to trust for one trust domain, also when there is nothing to trust.
#pragma once

#include <memory>
#include <string_view>

#include "identity/trust_bundle.h"
#include "sds/agent/node_state.h"

namespace countersign::agent {

// TrustOf is the bundle of the domain. If it is missing or empty, nobody of that domain may be
// trusted any more, but neither SDS nor the Workload API can say so: both refuse an empty text and
// keep the last one. Then it is a stand-in: an authority of the same name, expired, whose key was
// thrown away when it was made, so that nothing verifies. One stand-in a domain and process. Null
// for what is no trust domain's name. Safe for any thread.
std::shared_ptr<const identity::TrustBundle> TrustOf(const NodeState& state,
                                                     std::string_view domain_name);

}  // namespace countersign::agent
