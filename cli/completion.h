// `countersign completion bash|zsh`: a script for the shell, made from the verbs themselves.
#pragma once

#include "cli/command.h"

namespace countersign::cli {
// AddCompletionCommand comes last, so that it sees every verb.
void AddCompletionCommand(CLI::App& app, Context& context);
}  // namespace countersign::cli
