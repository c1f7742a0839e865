// Bracketed classes: "[a-z]", "[^/]", "[[:alpha:]\d\p{Greek}]".
#include "authz/language/byte_classes.h"
#include "authz/language/pattern_reader.h"

namespace countersign::authz::language {
namespace {

// Reads "[:name:]" or "[:^name:]" if there is a ":]" at all; else the '[' is a byte like others.
std::optional<ByteSet> PosixClassHere(PatternReader& reader, Case letter_case) {
  size_t end = reader.StartsWith("[:") ? reader.rest().find(":]", 2) : std::string_view::npos;
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  size_t begin = reader.at();
  std::string_view name = reader.rest().substr(2, end - 2);
  reader.Skip(end + 2);
  bool negated = name.starts_with('^');
  name.remove_prefix(negated ? 1 : 0);
  std::optional<ByteSet> set = PosixClass(name);
  if (!set) {
    reader.Fail(begin, Concat("unknown class ", Quoted(reader.Since(begin))));
    return ByteSet();
  }
  if (letter_case == Case::kIgnore) {
    set = FoldCase(*set);
  }
  return negated ? set->Complement() : *set;
}

uint8_t ReadMember(PatternReader& reader) {
  return reader.Peek() == '\\' && !reader.AtEnd() ? reader.Escape()
                                                  : static_cast<uint8_t>(reader.Take());
}

// One byte or "a-z". A '-' before the closing bracket is a byte.
ByteSet ReadRange(PatternReader& reader) {
  size_t begin = reader.at();
  uint8_t first = ReadMember(reader);
  uint8_t last = first;
  if (reader.Peek() == '-' && reader.rest().size() >= 2 && reader.rest()[1] != ']') {
    reader.Take();
    last = ReadMember(reader);
  }
  if (last < first) {
    reader.Fail(begin, Concat("range ", Quoted(reader.Since(begin)), " ends before it begins"));
  }
  return ByteSet::Range(first, last);
}

}  // namespace

ByteSet ReadByteClass(PatternReader& reader, Case letter_case) {
  size_t begin = reader.at();
  reader.Take();
  bool negated = reader.TakeIf("^");
  ByteSet set;
  // A ']' that comes first is a byte.
  for (bool first = true; first || reader.Peek() != ']'; first = false) {
    if (reader.AtEnd()) {
      reader.Fail(begin, "this [ has no closing ]");
    }
    if (reader.failed()) {
      return {};
    }
    if (std::optional<ByteSet> posix = PosixClassHere(reader, letter_case)) {
      set = set | *posix;
    } else if (reader.AtUnicodeClass()) {
      set = set | reader.UnicodeClass(letter_case);
    } else if (std::optional<ByteSet> perl = reader.PerlClassHere(letter_case)) {
      set = set | *perl;
    } else {
      ByteSet range = ReadRange(reader);
      set = set | (letter_case == Case::kIgnore ? FoldCase(range) : range);
    }
  }
  reader.Take();
  return negated ? set.Complement() : set;
}

}  // namespace countersign::authz::language
