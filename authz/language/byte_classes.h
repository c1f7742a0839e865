// The named classes of bytes: \d, [:alpha:], and case folding.
#pragma once

#include <optional>
#include <string_view>

#include "authz/language/byte_set.h"

namespace countersign::authz::language {

// WordBytes is what \w and \b call a word: ASCII letters, digits and '_'.
ByteSet WordBytes();

// PerlClass is the class of \d, \s or \w, or of their complements in upper case; nothing for
// another letter.
std::optional<ByteSet> PerlClass(char letter);

// PosixClass is the class that [:name:] means, without '^'.
std::optional<ByteSet> PosixClass(std::string_view name);

// FoldCase adds to each letter of Latin-1 its other case.
ByteSet FoldCase(const ByteSet& set);

}  // namespace countersign::authz::language
