#include "authz/language/pattern_reader.h"

#include "authz/language/byte_classes.h"

namespace countersign::authz::language {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// What an author may have meant by an escape that does not exist here.
std::string_view EscapeHint(char c) {
  switch (c) {
    case 'Z':
      return ": use \\z, the end of the text";
    case 'E':
      return ": there is no \\Q before it";
    case 'G':
    case 'K':
      return ": a pattern judges the whole value";
    case 'R':
      return ": use (?:\\r\\n|[\\n\\v\\f\\r])";
    case 'h':
      return ": use [ \\t]";
    default:
      return c >= '1' && c <= '9' ? ": back references are no regular language" : "";
  }
}

}  // namespace

void PatternReader::Fail(size_t begin, std::string_view what) {
  if (!failed()) {
    status_ = InvalidArgument("byte ", begin + 1, " of ", Quoted(pattern_), ": ", what);
  }
}

void PatternReader::FailTooLarge(std::string_view what) {
  if (!failed()) {
    status_ = ResourceExhausted("byte ", at_ + 1, " of ", Quoted(pattern_), ": ", what);
  }
}

uint8_t PatternReader::BadEscape(size_t begin) {
  std::string_view text = Since(begin);
  Fail(begin, Concat("escape ", Quoted(text), " is not supported",
                     EscapeHint(text.size() > 1 ? text[1] : '\0')));
  return 0;
}

uint8_t PatternReader::Escape() {
  size_t begin = at_;
  Take();
  if (AtEnd()) {
    Fail(begin, "a backslash ends the pattern: write \\\\ for a backslash itself");
    return 0;
  }
  char c = Take();
  switch (c) {
    case 'a':
      return '\a';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    case 'x':
      return HexEscape(begin);
    default:
      break;
  }
  if (c >= '0' && c <= '7') {
    return OctalEscape(begin);
  }
  auto byte = static_cast<uint8_t>(c);
  ByteSet named = *PosixClass("alnum");
  return byte >= 0x80 || named.Contains(byte) ? BadEscape(begin) : byte;
}

// One to three octal digits; a single one that is not 0 would be a back reference.
uint8_t PatternReader::OctalEscape(size_t begin) {
  char first = pattern_[at_ - 1];
  if (first != '0' && !IsOctal(Peek())) {
    return BadEscape(begin);
  }
  int code = first - '0';
  for (int digits = 1; digits < 3 && !AtEnd() && IsOctal(Peek()); ++digits) {
    code = code * 8 + (Take() - '0');
  }
  if (code > 0xFF) {
    Fail(begin, Concat("escape ", Quoted(Since(begin)), " is more than one byte"));
  }
  return static_cast<uint8_t>(code);
}

uint8_t PatternReader::HexEscape(size_t begin) {
  if (!TakeIf("{")) {
    int high = AtEnd() ? -1 : HexValue(Take());
    int low = high < 0 || AtEnd() ? -1 : HexValue(Take());
    return low < 0 ? BadEscape(begin) : static_cast<uint8_t>(high * 16 + low);
  }
  int code = 0;
  size_t digits = 0;
  for (; !AtEnd() && HexValue(Peek()) >= 0; ++digits) {
    code = code * 16 + HexValue(Take());
    if (code > 0xFF) {
      Fail(begin, Concat("escape ", Quoted(Since(begin)), " is more than one byte: fields are ",
                         "judged as bytes, so write each byte of its encoding"));
      return 0;
    }
  }
  return digits == 0 || !TakeIf("}") ? BadEscape(begin) : static_cast<uint8_t>(code);
}

ByteSet PatternReader::UnicodeClass(Case letter_case) {
  size_t begin = at_;
  Take();
  bool negated = Take() == 'P';
  std::string_view name;
  if (TakeIf("{")) {
    size_t end = rest().find('}');
    if (end == std::string_view::npos) {
      Fail(begin, "\\p{ has no closing }");
      return {};
    }
    name = rest().substr(0, end);
    Skip(end + 1);
  } else {
    name = rest().substr(0, 1);
    Skip(name.size());
  }
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  std::optional<ByteSet> group = UnicodeGroup(name, letter_case);
  if (!group) {
    Fail(begin, Concat("unknown Unicode group ", Quoted(Since(begin)),
                       ": use a general category (L, Lu) or a script (Greek)"));
    return {};
  }
  return negated ? group->Complement() : *group;
}

std::optional<ByteSet> PatternReader::PerlClassHere(Case letter_case) {
  if (rest().size() < 2 || Peek() != '\\') {
    return std::nullopt;
  }
  char letter = rest()[1];
  std::optional<ByteSet> set = PerlClass(letter);
  if (!set) {
    return std::nullopt;
  }
  Skip(2);
  if (letter_case == Case::kIgnore) {
    // A negated class takes out both cases of what it names.
    bool negated = letter >= 'A' && letter <= 'Z';
    set = negated ? FoldCase(set->Complement()).Complement() : FoldCase(*set);
  }
  return set;
}

}  // namespace countersign::authz::language
