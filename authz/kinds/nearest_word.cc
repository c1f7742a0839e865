#include "authz/kinds/nearest_word.h"

#include <algorithm>

#include "base/status.h"

namespace countersign::authz {
namespace {

constexpr size_t kWordBytesMax = 40;  // Longer than any word of ours; bounds the work.

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Optimal string alignment distance, letter case apart.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      size_t swap = Lower(a[i - 1]) == Lower(b[j - 1]) ? 0 : 1;
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + swap});
      if (i > 1 && j > 1 && Lower(a[i - 1]) == Lower(b[j - 2]) &&
          Lower(a[i - 2]) == Lower(b[j - 1])) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string_view NearestWord(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view nearest;
  size_t least = std::max<size_t>(1, std::min<size_t>(3, word.size() / 2)) + 1;
  if (word.size() > kWordBytesMax) {
    return nearest;
  }
  for (std::string_view candidate : candidates) {
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
  for (std::string_view candidate : candidates) {
    list += Concat(list.empty() ? "" : ", ", "\"", candidate, "\"");
  }
  return list.empty() ? "" : Concat(" (one of ", list, ")");
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
