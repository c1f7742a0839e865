// Conditions and sets of values in the words of policy files.
#pragma once

#include <string>
#include <string_view>

#include "authz/model/field.h"

namespace countersign::authz::prove {

// DescribeMatcher: "/orders/{id}", "under /orders", "re2 '/v[0-9]+'", "10.0.0.0/8".
std::string DescribeMatcher(const Matcher& matcher);

// DescribeCondition joins the matchers with "or"; a trust domain is said to be one.
std::string DescribeCondition(const Condition& condition);

}  // namespace countersign::authz::prove
