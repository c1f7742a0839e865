// Judges the PolicyAssertions of candidate sets, as `policy check` and every apply do.
#pragma once

#include <memory>
#include <vector>

#include "authz/kinds/loader.h"
#include "authz/model/policy.h"

namespace countersign::authz {

// CheckAssertions returns an error at the place of each assertion of `sets` that is not proved.
// This version proves none: a set with an assertion is refused with that reason, so that nothing
// unproved looks proved.
std::vector<Diagnostic> CheckAssertions(const std::vector<std::shared_ptr<const PolicySet>>& sets);

}  // namespace countersign::authz
