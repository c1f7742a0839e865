#include "authz/yaml/text_check.h"

#include <algorithm>

#include "base/status.h"

namespace countersign::authz::yaml {
namespace {

// The length of the well-formed UTF-8 sequence at the front (Unicode table 3-7), or 0.
size_t SequenceLength(std::string_view text) {
  auto byte = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  auto continues = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  unsigned first = byte(0);
  if (first < 0x80) {
    return 1;
  }
  if (first >= 0xc2 && first <= 0xdf) {
    return continues(1) ? 2 : 0;
  }
  if (first >= 0xe0 && first <= 0xef) {
    unsigned low = first == 0xe0 ? 0xa0 : 0x80;
    unsigned high = first == 0xed ? 0x9f : 0xbf;
    return byte(1) >= low && byte(1) <= high && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    unsigned low = first == 0xf0 ? 0x90 : 0x80;
    unsigned high = first == 0xf4 ? 0x8f : 0xbf;
    return byte(1) >= low && byte(1) <= high && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

Mark MarkAt(std::string_view text, size_t offset) {
  std::string_view before = text.substr(0, offset);
  size_t line_start = before.rfind('\n');
  size_t column = line_start == std::string_view::npos ? offset : offset - line_start - 1;
  return {static_cast<uint32_t>(std::count(before.begin(), before.end(), '\n')) + 1,
          static_cast<uint32_t>(column) + 1};
}

}  // namespace

std::optional<Problem> CheckText(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    bool control = (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
    size_t length = control ? 0 : SequenceLength(text.substr(i));
    if (length == 0) {
      return Problem{MarkAt(text, i), Concat(control ? "control character " : "invalid UTF-8 byte ",
                                             Quoted(text.substr(i, 1)), " in the file")};
    }
    i += length;
  }
  return std::nullopt;
}

bool IsPlainText(std::string_view text) { return !CheckText(text).has_value(); }

}  // namespace countersign::authz::yaml
