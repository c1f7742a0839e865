// Wrong use in words: what was wrong, the nearest right word, and where the help is.
#pragma once

#include "cli/command.h"

namespace CLI {
class ParseError;
}

namespace countersign::cli {

// UsageError describes what CLI11 refused, for the verb that it came to.
Status UsageError(const CLI::App& app, const CLI::ParseError& error);

}  // namespace countersign::cli
