// `countersign policy suggest`.
#pragma once

#include "cli/command.h"

namespace countersign::cli {

void AddPolicySuggest(CLI::App& policy, Context& context);

}  // namespace countersign::cli
