// `countersign doctor`: looks at a host, says what is wrong and how to mend it.
#pragma once

#include "cli/command.h"

namespace countersign::cli {
void AddDoctorCommand(CLI::App& app, Context& context);
}
