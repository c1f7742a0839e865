// RequiredLiterals: texts that a pattern's matches must hold. They tell which of many patterns are
// worth a try on a value; they never decide.
#pragma once

#include <string>
#include <vector>

#include "authz/language/expression.h"

namespace countersign::authz::engine {

// At most so many literals stand for one part of a pattern, each of at most so many bytes.
inline constexpr size_t kRequiredLiteralsMax = 16;
inline constexpr size_t kRequiredLiteralBytesMax = 64;

// LiteralChoice is a list of which every match holds at least one, in any case of its letters. All
// are in lower case and not empty.
using LiteralChoice = std::vector<std::string>;

// RequiredLiterals gives the choices, each of which alone is necessary; none if nothing is known.
std::vector<LiteralChoice> RequiredLiterals(const language::Expression& expression);

}  // namespace countersign::authz::engine
