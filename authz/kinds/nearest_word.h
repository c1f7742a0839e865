// The word that an author probably meant.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace countersign::authz {

// NearestWord is the candidate with the smallest edit distance (swapped neighbours count one), or
// empty if none is near.
std::string_view NearestWord(std::string_view word, std::span<const std::string_view> candidates);

// DidYouMean is ` (did you mean "path"?)`, or ` (one of "a", "b")` if no candidate is near.
std::string DidYouMean(std::string_view word, std::span<const std::string_view> candidates);

// SplitWords takes "a|b|c" apart.
std::vector<std::string_view> SplitWords(std::string_view words);

}  // namespace countersign::authz
