// What one workload's proxy must know, cut out of what the node knows.
#pragma once

#include <string_view>
#include <vector>

#include "authz/kinds/registration.h"
#include "authz/model/field.h"
#include "countersign/v1/proxy.pb.h"
#include "sds/agent/node_state.h"

namespace countersign::agent {

// MayMatch says whether a matcher over an ID can match `id`. It errs on the side of yes: what a
// proxy is given too much it judges itself.
bool MayMatch(const authz::Matcher& matcher, std::string_view id);

// BuildProxyConfiguration gives the workload's own Services, those it may reach with those their
// Routes split to, the Routes of all of them, and each policy set cut to the policies that may
// concern the workload. The version and the facts of the node are left to the caller.
v1::ProxyConfiguration BuildProxyConfiguration(const NodeState& state,
                                               const authz::Registration& registration);

}  // namespace countersign::agent
