// Value forms over texts (abc, abc*, *abc, *) as matchers of ours, and what none of them matches as
// a pattern.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/model/field.h"
#include "base/status.h"

namespace countersign::authz::import {

// TextForm is a value as Istio reads it: `*` alone is presence, a leading `*` a suffix, a trailing
// one a prefix, and a `*` anywhere else is a character.
struct TextForm {
  enum class Kind : uint8_t { kPresent, kExact, kPrefix, kSuffix };
  Kind kind = Kind::kExact;
  std::string text;
  bool operator==(const TextForm&) const = default;
};
TextForm ReadForm(std::string_view value);

// ToMatcher is a matcher over texts; a literal `*` makes it a pattern where the words of ours take
// none.
Matcher ToMatcher(const TextForm& form);

// QuotePattern is `text` as a pattern that matches it alone, readable.
std::string QuotePattern(std::string_view text);

// ComplementPattern matches every text that no form matches. RE2 has no negation, so only forms
// that can be told apart from one end are taken: exact texts with prefixes, or suffixes alone.
StatusOr<std::string> ComplementPattern(std::span<const TextForm> forms);

}  // namespace countersign::authz::import
