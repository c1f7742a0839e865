// Lowering: a rule as written becomes boxes, one list for each kind of connection. A box is an AND
// of conditions over independent coordinates, less its exceptions; a rule is the union of its
// boxes.
//
// What the semantics say about TCP is decided here, once, so that deciding knows nothing of it.
#pragma once

#include <string>
#include <vector>

#include "authz/engine/limits.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"
#include "base/status.h"

namespace countersign::authz::engine {

// LoweredBox has no condition on the protocol left. Conditions are sorted by field and key.
struct LoweredBox {
  Subject subject = Subject::kAnyone;  // kEntries: the conditions say it.
  std::vector<Condition> all_of;
  std::vector<std::vector<Condition>> except;
};

// LowerRule fails on a pattern over the protocol that RE2 refuses, and on more boxes than a rule
// may have. Entries that differ in one coordinate are merged before they are counted.
StatusOr<std::vector<LoweredBox>> LowerRule(const Rule& rule, RequestKind kind,
                                            const EngineLimits& limits);

// PredicateKey is equal for equal sets of matchers, whatever their order.
std::string PredicateKey(const std::vector<Matcher>& any_of);

}  // namespace countersign::authz::engine
