// What both evaluators refuse although a loader should never let it through: a policy that they
// could only misread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "authz/model/policy.h"
#include "base/status.h"

namespace countersign::authz::engine {

// ValidateSets names the set, policy and rule at fault.
Status ValidateSets(const std::vector<std::shared_ptr<const PolicySet>>& sets);

// ForEachPattern calls `visit` for every RE2 pattern in the set, with the name of its place; the
// first error ends the walk.
Status ForEachPattern(const PolicySet& set,
                      const std::function<Status(const std::string& pattern)>& visit);

}  // namespace countersign::authz::engine
