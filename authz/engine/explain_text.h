// The words of explanations: predicates and values as people read them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authz/model/field.h"
#include "authz/model/request.h"

namespace countersign::authz {

// DescribePredicate is "one of GET, HEAD", "under /orders", "present"; at most a line long.
std::string DescribePredicate(const std::vector<Matcher>& any_of);

// DescribeActual is the request's value of the condition's coordinate, quoted and shortened, or
// "absent".
std::string DescribeActual(const CanonicalRequest& request, const Condition& condition);

namespace engine {
// ValuesOf lists the values of a text coordinate; empty if it is absent.
std::vector<std::string_view> ValuesOf(const CanonicalRequest& request, const Condition& condition);
}  // namespace engine

}  // namespace countersign::authz
