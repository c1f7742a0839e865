// Requests of policy tests, made and changed coordinate by coordinate.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "authz/check/rule_parts.h"
#include "authz/model/policy.h"

namespace countersign::authz {

// SetCoordinate gives the coordinate that `condition` speaks of another value; "" makes it absent.
// False: a request cannot have that value at all.
bool SetCoordinate(const Condition& condition, const std::string& value,
                   PolicyTestCase::Request& request);

// Wanted is a rule and its number among the variants: a variant's own, or a part's `whole`.
struct Wanted {
  const Rule* rule = nullptr;
  uint32_t number = 0;
};

// FindMatching makes a request that the rule matches at a workload of the variant's policy, or
// nothing if none was found in a bounded number of tries.
std::optional<PolicyTestCase::Request> FindMatching(const RuleVariants& variants,
                                                    const RuleVariants::Variant& variant,
                                                    const Wanted& wanted, WallTime now);

// SameRequest compares everything.
bool SameRequest(const PolicyTestCase::Request& a, const PolicyTestCase::Request& b);

}  // namespace countersign::authz
