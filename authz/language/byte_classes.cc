#include "authz/language/byte_classes.h"

#include <algorithm>
#include <utility>

#include "authz/language/unicode_groups.h"

namespace countersign::authz::language {
namespace {

constexpr ByteSet kDigits = ByteSet::Range('0', '9');
constexpr ByteSet kUpper = ByteSet::Range('A', 'Z');
constexpr ByteSet kLower = ByteSet::Range('a', 'z');
constexpr ByteSet kLetters = kUpper | kLower;
constexpr ByteSet kWord = kLetters | kDigits | ByteSet::Of('_');
// RE2's \s has no vertical tab; [:space:] has one.
constexpr ByteSet kPerlSpace =
    ByteSet::Range('\t', '\n') | ByteSet::Range('\f', '\r') | ByteSet::Of(' ');
constexpr ByteSet kGraph = ByteSet::Range(0x21, 0x7E);

constexpr std::pair<std::string_view, ByteSet> kPosixClasses[] = {
    {"alnum", kLetters | kDigits},
    {"alpha", kLetters},
    {"ascii", ByteSet::Range(0, 0x7F)},
    {"blank", ByteSet::Of('\t') | ByteSet::Of(' ')},
    {"cntrl", ByteSet::Range(0, 0x1F) | ByteSet::Of(0x7F)},
    {"digit", kDigits},
    {"graph", kGraph},
    {"lower", kLower},
    {"print", kGraph | ByteSet::Of(' ')},
    {"punct", kGraph - kLetters - kDigits},
    {"space", kPerlSpace | ByteSet::Of('\v')},
    {"upper", kUpper},
    {"word", kWord},
    {"xdigit", kDigits | ByteSet::Range('A', 'F') | ByteSet::Range('a', 'f')},
};

// The other case of a letter within Latin-1, or the byte itself. The multiplication and division
// signs stand between the letters; sharp s, micro sign and y with diaeresis fold outside Latin-1.
constexpr uint8_t OtherCase(uint8_t byte) {
  constexpr ByteSet kUpperLetters = kUpper | (ByteSet::Range(0xC0, 0xDE) - ByteSet::Of(0xD7));
  if (kUpperLetters.Contains(byte)) {
    return static_cast<uint8_t>(byte + 0x20);
  }
  bool lower = byte >= 0x20 && kUpperLetters.Contains(static_cast<uint8_t>(byte - 0x20));
  return lower ? static_cast<uint8_t>(byte - 0x20) : byte;
}

}  // namespace

ByteSet WordBytes() { return kWord; }

std::optional<ByteSet> PerlClass(char letter) {
  switch (letter) {
    case 'd':
      return kDigits;
    case 's':
      return kPerlSpace;
    case 'w':
      return kWord;
    case 'D':
      return kDigits.Complement();
    case 'S':
      return kPerlSpace.Complement();
    case 'W':
      return kWord.Complement();
    default:
      return std::nullopt;
  }
}

std::optional<ByteSet> PosixClass(std::string_view name) {
  const auto* found =
      std::ranges::find(kPosixClasses, name, &std::pair<std::string_view, ByteSet>::first);
  return found == std::end(kPosixClasses) ? std::nullopt : std::optional(found->second);
}

ByteSet FoldCase(const ByteSet& set) {
  ByteSet folded = set;
  for (int byte = 0; byte < 256; ++byte) {
    if (set.Contains(static_cast<uint8_t>(byte))) {
      folded.Add(OtherCase(static_cast<uint8_t>(byte)));
    }
  }
  return folded;
}

std::optional<ByteSet> UnicodeGroup(std::string_view name, Case letter_case) {
  const auto& table = internal::UnicodeGroupTable();
  auto found = std::ranges::lower_bound(table, name, {}, &internal::UnicodeGroupRow::name);
  if (found == table.end() || found->name != name) {
    return std::nullopt;
  }
  ByteSet set;
  for (auto [first, last] : letter_case == Case::kIgnore ? found->folded : found->plain) {
    set = set | ByteSet::Range(first, last);
  }
  return set;
}

}  // namespace countersign::authz::language
