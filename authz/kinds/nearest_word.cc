#include "authz/kinds/nearest_word.h"

#include <algorithm>
#include <array>

#include "base/status.h"

namespace countersign::authz {
namespace {

// Bounds on the work and the words of one hint.
constexpr size_t kWordBytesMax = 80;    // Longer than any word of ours.
constexpr size_t kCandidatesMax = 200;  // A list of names may be as long as its author likes.
constexpr size_t kListedMax = 16;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Optimal string alignment distance, letter case apart. Three rows of the usual table are kept.
size_t Distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, kWordBytesMax + 1>, 3> rows;
  for (size_t i = 0; i <= a.size(); ++i) {
    std::array<size_t, kWordBytesMax + 1>& row = rows[i % 3];
    const std::array<size_t, kWordBytesMax + 1>& above = rows[(i + 2) % 3];
    const std::array<size_t, kWordBytesMax + 1>& two_above = rows[(i + 1) % 3];
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        row[j] = i + j;
        continue;
      }
      size_t change = Lower(a[i - 1]) == Lower(b[j - 1]) ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      if (i > 1 && j > 1 && Lower(a[i - 1]) == Lower(b[j - 2]) &&
          Lower(a[i - 2]) == Lower(b[j - 1])) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string_view NearestWord(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view nearest;
  size_t least = std::max<size_t>(1, std::min<size_t>(3, word.size() / 2)) + 1;
  if (word.size() > kWordBytesMax) {
    return nearest;
  }
  for (std::string_view candidate : candidates.first(std::min(candidates.size(), kCandidatesMax))) {
    size_t shorter = std::min(candidate.size(), word.size());
    size_t apart = std::max(candidate.size(), word.size()) - shorter;
    if (candidate.size() > kWordBytesMax || apart >= least) {
      continue;
    }
    if (size_t distance = Distance(word, candidate); distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view word, std::span<const std::string_view> candidates) {
  if (std::string_view nearest = NearestWord(word, candidates); !nearest.empty()) {
    return Concat(" (did you mean \"", nearest, "\"?)");
  }
  std::string list;
  for (std::string_view candidate : candidates.first(std::min(candidates.size(), kListedMax))) {
    list += Concat(list.empty() ? "" : ", ", "\"", candidate, "\"");
  }
  return list.empty() ? ""
                      : Concat(" (one of ", list, candidates.size() > kListedMax ? ", ...)" : ")");
}

std::vector<std::string_view> SplitWords(std::string_view words) {
  std::vector<std::string_view> out;
  while (!words.empty()) {
    size_t bar = words.find('|');
    out.push_back(words.substr(0, bar));
    words = bar == std::string_view::npos ? "" : words.substr(bar + 1);
  }
  return out;
}

}  // namespace countersign::authz
