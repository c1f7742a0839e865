// `countersign svid`: this process's own identities, shown or written to files.
#pragma once

#include "cli/command.h"

namespace countersign::cli {
void AddSvidCommands(CLI::App& app, Context& context);
}
