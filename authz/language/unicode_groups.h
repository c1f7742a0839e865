// The groups that \p{...} names, cut to the code points that a byte can be: Latin-1.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "authz/language/byte_set.h"

namespace countersign::authz::language {

// Case says whether letters that differ in case alone are told apart: (?i).
enum class Case : uint8_t { kRespect, kIgnore };

// UnicodeGroup finds a general category ("L", "Lu"), a script ("Greek") or "Any"; nothing for an
// unknown name. kIgnore adds the bytes whose case folding a member shares: (?i)\p{Greek}
// holds the micro sign, 0xB5, because it folds to the Greek letter mu.
std::optional<ByteSet> UnicodeGroup(std::string_view name, Case letter_case);

namespace internal {
struct UnicodeGroupRow {
  using Ranges = std::vector<std::pair<uint8_t, uint8_t>>;
  std::string_view name;
  Ranges plain;
  Ranges folded;
};
// Ascending by name.
const std::vector<UnicodeGroupRow>& UnicodeGroupTable();
}  // namespace internal

}  // namespace countersign::authz::language
