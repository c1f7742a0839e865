// `policy bench`: what a decision costs on this machine, for a policy of a stated shape.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPolicyBenchCommand(CLI::App& policy, Context& context);

}  // namespace countersign::cli
