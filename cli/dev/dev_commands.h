// `countersign dev`: a whole mesh on one machine, for trying things.
#pragma once

#include "cli/command.h"

namespace countersign::cli {
void AddDevCommands(CLI::App& app, Context& context);
}
