// One rule of an AuthorizationPolicy as rules of ours.
#pragma once

#include <vector>

#include "authz/import/findings.h"
#include "authz/import/istio_source.h"
#include "authz/model/policy.h"

namespace countersign::authz::import {

// TranslateRule gives the rules that together match what the rule of `policy` with this number
// matches; usually one, none if it can never match. A second condition on kId in an entry is an
// IdentitySet's. What cannot be carried over goes to `findings`, and the result is then worthless.
std::vector<Rule> TranslateRule(const IstioPolicy& policy, size_t number,
                                const ImportOptions& options, Findings& findings);

}  // namespace countersign::authz::import
