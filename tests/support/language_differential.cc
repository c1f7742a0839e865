#include "tests/support/language_differential.h"

#include <re2/re2.h>

#include "authz/engine/regex.h"

namespace countersign::authz::language {
namespace {

std::string Disagree(std::string_view pattern, std::string_view what) {
  return Concat("pattern ", Quoted(pattern, 4096), ": ", what);
}

bool Re2Matches(const RE2& re2, std::string_view text) {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), re2);
}

// Both forms of one pattern, where they exist. RE2's is the one that judges requests.
struct Both {
  std::unique_ptr<const RE2> re2;
  std::optional<Language> ours;
  std::optional<std::string> disagreement;
  bool too_large = false;

  explicit Both(std::string_view pattern) {
    auto compiled = engine::CompilePattern(pattern, EngineLimits());
    StatusOr<Language> language = Language::FromPattern(pattern);
    too_large = IsTooLarge(compiled.status()) || IsTooLarge(language.status());
    if (!too_large && compiled.ok() != language.ok()) {
      const Status& refusal = compiled.ok() ? language.status() : compiled.status();
      disagreement = Disagree(
          pattern, Concat(compiled.ok() ? "refused here: " : "refused by RE2: ", Message(refusal)));
    }
    if (compiled.ok()) {
      re2 = *std::move(compiled);
    }
    if (language.ok()) {
      ours = *std::move(language);
    }
  }
};

std::string TextDisagreement(std::string_view pattern, std::string_view text, bool re2) {
  return Disagree(pattern, Concat("text ", Quoted(text, 4096),
                                  re2 ? " matches in RE2 only" : " matches here only"));
}

}  // namespace

std::optional<std::string> ComparePattern(std::string_view pattern, uint32_t texts, Random& random,
                                          DifferentialTally& tally) {
  ++tally.patterns;
  Both both(pattern);
  if (both.disagreement) {
    ++tally.disagreements;
    return both.disagreement;
  }
  if (both.too_large) {
    ++tally.too_large;
    return std::nullopt;
  }
  if (!both.ours) {
    ++tally.refused;
    return std::nullopt;
  }
  tally.dfa_states_max = std::max<uint64_t>(tally.dfa_states_max, both.ours->dfa().states());
  BorderTexts border(*both.ours);
  std::string text;
  for (uint32_t i = 0; i < texts; ++i) {
    border.Next(random, text);
    bool re2 = Re2Matches(*both.re2, text);
    bool ours = both.ours->Matches(text);
    ++tally.pairs;
    tally.matched += re2 && ours ? 1 : 0;
    if (re2 != ours) {
      ++tally.disagreements;
      return TextDisagreement(pattern, text, re2);
    }
  }
  return std::nullopt;
}

std::optional<std::string> CompareText(std::string_view pattern, std::string_view text) {
  Both both(pattern);
  if (both.disagreement || both.too_large || !both.ours) {
    return both.disagreement;
  }
  bool re2 = Re2Matches(*both.re2, text);
  if (re2 != both.ours->Matches(text)) {
    return TextDisagreement(pattern, text, re2);
  }
  return std::nullopt;
}

}  // namespace countersign::authz::language
