// Language is a set of texts, decided exactly: the texts that a pattern, a literal or another
// matcher of the policy language matches as a whole, byte by byte.
//
// This is the algebra only: what fields a request has, and which values they can have, is in
// matcher_language.h and canonical_language.h.
#pragma once

#include <string>
#include <string_view>

#include "authz/language/dfa.h"
#include "authz/language/expression.h"
#include "authz/language/limits.h"
#include "base/status.h"

namespace countersign::authz::language {

// Language is immutable and holds the minimal automaton, so that two are equal exactly if they hold
// the same texts. Threads may share it. Whatever needs too much fails with kResourceExhausted and
// names the limit; IsTooLarge() tells.
class Language {
 public:
  static Language Nothing();
  static Language Everything();
  static Language Literal(std::string_view text);
  // FromPattern means what RE2::FullMatch means with the engine's options. Fails with
  // kInvalidArgument on a construct that is not supported, which it names with its place.
  static StatusOr<Language> FromPattern(std::string_view pattern,
                                        const LanguageLimits& limits = {});
  static StatusOr<Language> FromExpression(const Expression& expression,
                                           const LanguageLimits& limits = {});

  // FromDfa takes any complete automaton.
  static Language FromDfa(const Dfa& dfa);
  // Beginning is `text` alone, or `text` and then what `rest` says.
  enum class Rest : uint8_t { kNothing, kAnything, kNothingOrSlash };
  static Language Beginning(std::string_view text, Rest rest);

  bool Matches(std::string_view text) const { return dfa_.Matches(text); }
  bool IsNothing() const { return dfa_.states() == 1 && dfa_.accepts[0] == 0; }
  bool IsEverything() const { return dfa_.states() == 1 && dfa_.accepts[0] != 0; }
  // Complement is every text that is not in this one, of any bytes.
  Language Complement() const;
  bool operator==(const Language&) const = default;

  const Dfa& dfa() const { return dfa_; }
  // Hash is equal for equal languages.
  uint64_t Hash() const;

 private:
  explicit Language(Dfa dfa) : dfa_(std::move(dfa)) {}
  friend StatusOr<Language> Combine(const Language& a, const Language& b, uint8_t truth,
                                    const LanguageLimits& limits);
  Dfa dfa_;  // Minimal.
};

StatusOr<Language> Union(const Language& a, const Language& b, const LanguageLimits& limits = {});
StatusOr<Language> Intersection(const Language& a, const Language& b,
                                const LanguageLimits& limits = {});
// Difference is what is in `a` and not in `b`.
StatusOr<Language> Difference(const Language& a, const Language& b,
                              const LanguageLimits& limits = {});

inline bool IsTooLarge(const Status& status) {
  return status.code() == StatusCode::kResourceExhausted;
}

}  // namespace countersign::authz::language
