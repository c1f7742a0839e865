// ParsePattern reads the syntax of RE2 with the options that the engine gives it: bytes (Latin-1),
// dot matches newline, '^' and '$' mean the text's ends unless (?m) says lines, captures are
// groups like others.
//
// What RE2 20220601 refuses is refused here, and what it accepts is accepted, but for groups nested
// deeper than LanguageLimits::pattern_depth_max. RE2's memory budget is not known here.
//
// One class of patterns is refused though RE2 20220601 accepts it, because it does not match there
// what it says: alternatives of which an earlier one ends in a lower-case letter alone and a later
// one in that letter of either case, as in [a-z]|(?i:a), where RE2 does not match "A". With the
// alternatives the other way round both mean the same.
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
