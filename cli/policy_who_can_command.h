// `countersign policy who-can`.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPolicyWhoCan(CLI::App& policy, Context& context);

}  // namespace countersign::cli
