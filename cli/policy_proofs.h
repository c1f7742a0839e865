// What the verbs that prove share.
#pragma once

#include <string>
#include <vector>

#include "authz/kinds/loader.h"
#include "base/status.h"
#include "cli/command.h"

namespace countersign::cli {

// LoadFaultless is LoadPaths for verbs that need policies without errors; it prints what it found
// to the context's error stream otherwise.
StatusOr<authz::LoadResult> LoadFaultless(const std::vector<std::string>& paths, Context& context);

// FailProof ends a verb whose proof was not made: with kGaveUp over a limit, else with kError.
void FailProof(const Status& status, Context& context);

}  // namespace countersign::cli
