// `countersign pdp run`: the stand-alone policy decision point, in the foreground.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPdpCommands(CLI::App& app, Context& context);

}  // namespace countersign::cli
