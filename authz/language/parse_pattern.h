// ParsePattern reads the syntax of RE2 with the options that the engine gives it: bytes (Latin-1),
// dot matches newline, '^' and '$' mean the text's ends unless (?m) says lines, captures are
// groups like others.
//
// What RE2 20220601 refuses is refused here, and what it accepts is accepted, but for groups nested
// deeper than LanguageLimits::pattern_depth_max. RE2's memory budget is not known here.
//
// One known difference: RE2 20220601 forgets the other case of a letter that ignores case where an
// earlier alternative already holds the letter itself: it says that [a-z]|(?i:a) does not match
// "A". Here it does, as it does in RE2 with the alternatives the other way round.
#pragma once

#include <string_view>

#include "authz/language/expression.h"
#include "authz/language/limits.h"
#include "base/status.h"

namespace countersign::authz::language {

// ParsePattern fails with kInvalidArgument on bad or unsupported syntax and with
// kResourceExhausted over a limit; the message gives the byte (from 1) and the construct.
StatusOr<Expression> ParsePattern(std::string_view pattern, const LanguageLimits& limits);

}  // namespace countersign::authz::language
