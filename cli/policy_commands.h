// The verbs about policy files: policy check, policy test, policy eval, and explain. They need no
// server.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPolicyCommands(CLI::App& app, Context& context);

}  // namespace countersign::cli
