// How a compiled policy finds its rules, as `policy check --plan` prints it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "authz/engine/matcher_plan.h"

namespace countersign::cli {

nlohmann::ordered_json PlanAsJson(const authz::MatcherPlan& plan);
std::string PlanAsText(const authz::MatcherPlan& plan);

}  // namespace countersign::cli
