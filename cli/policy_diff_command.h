// `countersign policy diff`.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPolicyDiff(CLI::App& policy, Context& context);

}  // namespace countersign::cli
