// `countersign audit`: search, show, explain, verify and export a node's audit log, from its files
// alone: neither server nor agent need to run.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddAuditCommands(CLI::App& app, Context& context);

}  // namespace countersign::cli
