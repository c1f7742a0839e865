// ForgottenCase finds the alternations that RE2 20220601 does not judge as it says.
//
// RE2 joins alternatives of one byte into one class, also what is left of longer ones when it has
// taken out their common begin. Where an earlier one holds a lower-case letter alone and a later
// one is that letter in both cases, it forgets the upper case: [a-z]|(?i:a), a|[Aa] and xa|x(?i:a)
// do not match "A", "A" and "xA". Used within this folder only.
#pragma once

#include <optional>
#include <span>

#include "authz/language/expression.h"

namespace countersign::authz::language {

// ForgottenLetter is the later alternative, counted from 0, and its letter.
struct ForgottenLetter {
  size_t choice = 0;
  char letter = 'a';
};

// FindForgottenLetter looks at the alternatives in order. It finds every alternation that RE2
// judges wrongly, and some that it would not join after all: two forms of one letter at the end of
// alternatives are refused whatever stands before them.
std::optional<ForgottenLetter> FindForgottenLetter(const Expression& expression,
                                                   std::span<const Expression::Id> choices);

}  // namespace countersign::authz::language
