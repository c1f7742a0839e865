// What the parsers of patterns and of classes share: a place in the text, the first error, and the
// escapes that both know. Used within this folder only.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "authz/language/byte_set.h"
#include "authz/language/unicode_groups.h"
#include "base/status.h"

namespace countersign::authz::language {

// PatternReader walks over a pattern. After the first Fail() everything it gives is meaningless,
// and status() is the answer. Borrows the pattern.
class PatternReader {
 public:
  explicit PatternReader(std::string_view pattern) : pattern_(pattern) {}

  size_t at() const { return at_; }
  bool AtEnd() const { return at_ >= pattern_.size(); }
  std::string_view rest() const { return pattern_.substr(at_); }
  // Since is the text from `begin` to here.
  std::string_view Since(size_t begin) const { return pattern_.substr(begin, at_ - begin); }
  bool StartsWith(std::string_view text) const { return rest().starts_with(text); }
  char Peek() const { return AtEnd() ? '\0' : pattern_[at_]; }
  char Take() { return AtEnd() ? '\0' : pattern_[at_++]; }
  void Skip(size_t bytes) { at_ += bytes; }
  bool TakeIf(std::string_view text) {
    bool found = StartsWith(text);
    at_ += found ? text.size() : 0;
    return found;
  }

  bool failed() const { return !status_.ok(); }
  const Status& status() const { return status_; }
  // Fail keeps the first error; `begin` is where the offending text begins.
  void Fail(size_t begin, std::string_view what);
  void FailTooLarge(std::string_view what);

  // Escape reads a backslash and the byte that it means: \n, \x41, \x{41}, \101, \., and so on.
  uint8_t Escape();
  // UnicodeClass reads \pL, \p{Greek}, \P{^Lu} and the like.
  ByteSet UnicodeClass(Case letter_case);
  bool AtUnicodeClass() const { return StartsWith("\\p") || StartsWith("\\P"); }
  // PerlClassHere reads \d, \S and the like if one is here.
  std::optional<ByteSet> PerlClassHere(Case letter_case);

 private:
  uint8_t OctalEscape(size_t begin);
  uint8_t HexEscape(size_t begin);
  uint8_t BadEscape(size_t begin);
  std::string_view pattern_;
  size_t at_ = 0;
  Status status_;
};

// ReadByteClass reads "[...]", of which the first byte is not yet taken.
ByteSet ReadByteClass(PatternReader& reader, Case letter_case);

}  // namespace countersign::authz::language
