// How the verbs that compare policies print regions of requests whose verdict changes.
#pragma once

#include <ostream>

#include "authz/prove/diff.h"
#include "cli/policy_output.h"

namespace countersign::cli {

// PrintChanges prints newly allowed regions, then newly denied ones, then how many there are.
void PrintChanges(const authz::prove::DiffReport& report, std::ostream& out);
Json ChangesJson(const authz::prove::DiffReport& report);

}  // namespace countersign::cli
