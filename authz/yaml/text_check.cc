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

// U+0080 to U+009F, and what changes direction or line: U+061C, U+200E, U+200F, U+2028 to U+202E,
// U+2066 to U+2069.
bool IsDeceptive(std::string_view sequence) {
  if (sequence.size() == 2) {
    return (sequence[0] == '\xc2' && sequence[1] < '\xa0') || sequence == "\xd8\x9c";
  }
  if (sequence.size() != 3 || sequence[0] != '\xe2') {
    return false;
  }
  auto second = static_cast<unsigned char>(sequence[1]);
  auto third = static_cast<unsigned char>(sequence[2]);
  return (second == 0x80 && (third == 0x8e || third == 0x8f || (third >= 0xa8 && third <= 0xae))) ||
         (second == 0x81 && third >= 0xa6 && third <= 0xa9);
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
    control = control || IsDeceptive(text.substr(i, length));
    if (length == 0 || control) {
      return Problem{MarkAt(text, i),
                     Concat(control ? "control character " : "invalid UTF-8 byte ",
                            Quoted(text.substr(i, std::max<size_t>(1, length))), " in the file")};
    }
    i += length;
  }
  return std::nullopt;
}

bool IsPlainText(std::string_view text) { return !CheckText(text).has_value(); }

}  // namespace countersign::authz::yaml
