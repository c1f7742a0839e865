#include "cli/text_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/status.h"

namespace countersign::cli {
namespace {

using Lines = std::vector<std::string_view>;

Lines Split(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

struct Edit {
  char mark;  // ' ', '-' or '+'
  std::string_view line;
};

// Longest common subsequence by the classic table; equal ends are dropped before, so the table is
// as large as what really changed.
void Middle(const Lines& former, const Lines& next, size_t head, size_t tail,
            std::vector<Edit>& edits) {
  size_t rows = former.size() - head - tail;
  size_t columns = next.size() - head - tail;
  bool fits = columns == 0 || rows <= TextDiffLimits::kCellsMax / columns;
  std::vector<uint32_t> longest(fits ? (rows + 1) * (columns + 1) : 0);
  auto cell = [&](size_t row, size_t column) -> uint32_t& {
    return longest[row * (columns + 1) + column];
  };
  for (size_t row = fits ? rows : 0; row-- > 0;) {
    for (size_t column = columns; column-- > 0;) {
      cell(row, column) = former[head + row] == next[head + column]
                              ? cell(row + 1, column + 1) + 1
                              : std::max(cell(row + 1, column), cell(row, column + 1));
    }
  }
  size_t row = 0;
  size_t column = 0;
  while (row < rows || column < columns) {
    if (fits && row < rows && column < columns && former[head + row] == next[head + column]) {
      edits.push_back({' ', former[head + row++]});
      ++column;
    } else if (row < rows &&
               (!fits || column == columns || cell(row + 1, column) >= cell(row, column + 1))) {
      edits.push_back({'-', former[head + row++]});
    } else {
      edits.push_back({'+', next[head + column++]});
    }
  }
}

std::vector<Edit> Compare(const Lines& former, const Lines& next) {
  size_t shorter = std::min(former.size(), next.size());
  size_t head = 0;
  while (head < shorter && former[head] == next[head]) {
    ++head;
  }
  size_t tail = 0;
  while (tail < shorter - head &&
         former[former.size() - 1 - tail] == next[next.size() - 1 - tail]) {
    ++tail;
  }
  std::vector<Edit> edits;
  for (size_t i = 0; i < head; ++i) {
    edits.push_back({' ', former[i]});
  }
  Middle(former, next, head, tail, edits);
  for (size_t i = former.size() - tail; i < former.size(); ++i) {
    edits.push_back({' ', former[i]});
  }
  return edits;
}

}  // namespace

std::string UnifiedDiff(std::string_view former, std::string_view next) {
  std::vector<Edit> edits = Compare(Split(former), Split(next));
  std::vector<bool> shown(edits.size(), false);
  for (size_t i = 0; i < edits.size(); ++i) {
    if (edits[i].mark != ' ') {
      size_t begin = i - std::min(i, TextDiffLimits::kContextLines);
      size_t end = std::min(edits.size(), i + TextDiffLimits::kContextLines + 1);
      std::fill(shown.begin() + static_cast<ptrdiff_t>(begin),
                shown.begin() + static_cast<ptrdiff_t>(end), true);
    }
  }
  std::string out;
  size_t former_line = 1;
  size_t next_line = 1;
  for (size_t i = 0; i < edits.size(); ++i) {
    if (shown[i]) {
      if (i == 0 || !shown[i - 1]) {
        out += Concat("@@ -", former_line, " +", next_line, " @@\n");
      }
      out += Concat(std::string_view(&edits[i].mark, 1), edits[i].line, "\n");
    }
    former_line += edits[i].mark != '+' ? 1 : 0;
    next_line += edits[i].mark != '-' ? 1 : 0;
  }
  return out;
}

}  // namespace countersign::cli
