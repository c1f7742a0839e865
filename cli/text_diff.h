// Differences of two texts by lines, as `diff -u` prints them.
#pragma once

#include <string>
#include <string_view>

namespace countersign::cli {

struct TextDiffLimits {
  static constexpr size_t kCellsMax = 16 << 20;  // Work of one comparison; beyond: all replaced.
  static constexpr size_t kContextLines = 3;
};

// UnifiedDiff is empty if the texts are equal.
std::string UnifiedDiff(std::string_view former, std::string_view next);

}  // namespace countersign::cli
