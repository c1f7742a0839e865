// `countersign policy replay`.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPolicyReplay(CLI::App& policy, Context& context);

}  // namespace countersign::cli
