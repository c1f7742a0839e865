// Rules that reach further than their author is likely to have meant, told by their spelling. None
// needs a proof, and each finding says what to write where the breadth is meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/model/policy.h"

namespace countersign::authz {

// BreadthFinding is one finding: what the rule does, as the rest of a sentence that its name
// begins.
struct BreadthFinding {
  SourcePosition where;
  std::string what;
};

// BreadthOf looks at one rule: an allow for callers that nothing names, a misplaced dash that makes
// two entries of one, the beginning or end of a trust domain that others can take too; and, in
// every rule, a path segment like `:id` that is no wildcard here.
std::vector<BreadthFinding> BreadthOf(const Rule& rule);

}  // namespace countersign::authz
