// The verbs that administer the server: get, apply, diff, delete, rollback, history, token, bundle,
// agents.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddAdminCommands(CLI::App& app, Context& context);

}  // namespace countersign::cli
