// PatternStore owns the patterns of a policy, each (coordinate, pattern) once. RE2 judges the
// syntax and the size of each; then the simple ones run as code, the others as automata, and only
// those whose automaton is over its budget stay with RE2.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "authz/engine/limits.h"
#include "authz/engine/pattern_automaton.h"
#include "authz/engine/regex.h"
#include "authz/engine/simple_program.h"
#include "base/status.h"

namespace countersign::authz::engine {

// PatternMemo remembers verdicts of patterns on one request's values, so that a pattern that many
// boxes share runs once. One thread.
class PatternMemo {
 public:
  void Fit(size_t patterns) { entries_.assign(patterns, 0); }
  // Forget makes room for the next request.
  void Forget() {
    epoch_ += 2;
    if (epoch_ == 0) {
      std::fill(entries_.begin(), entries_.end(), 0U);
      epoch_ = 2;
    }
  }
  bool Knows(uint32_t pattern) const { return (entries_[pattern] & ~1U) == epoch_; }
  bool Verdict(uint32_t pattern) const { return (entries_[pattern] & 1U) != 0; }
  void Remember(uint32_t pattern, bool matches) {
    entries_[pattern] = epoch_ | static_cast<uint32_t>(matches);
  }

 private:
  std::vector<uint32_t> entries_;
  uint32_t epoch_ = 2;
};

// PatternStore is filled while compiling and immutable afterwards.
class PatternStore {
 public:
  explicit PatternStore(const EngineLimits& limits) : limits_(limits) {}
  // Add gives the pattern's number for this coordinate; verdicts are remembered per number, so two
  // coordinates never share one.
  StatusOr<uint32_t> Add(const std::string& coordinate, const std::string& pattern);

  // Matches judges the whole value.
  bool Matches(uint32_t number, std::string_view value) const {
    const Form& form = *(forms_.data() + number);
    switch (form.kind) {
      case Kind::kSimple:
        return simple_.Matches(form.at, value);
      case Kind::kAutomaton:
        return automata_[form.at].Matches(value);
      default:
        return MatchesInRe2(form.at, value);
    }
  }
  bool Matches(uint32_t number, std::string_view value, PatternMemo& memo) const {
    if (!forms_[number].shared) {
      return Matches(number, value);
    }
    if (memo.Knows(number)) {
      return memo.Verdict(number);
    }
    bool matches = Matches(number, value);
    memo.Remember(number, matches);
    return matches;
  }
  // Every match begins with one of these; a single empty one if nothing is known.
  const std::vector<std::string>& prefixes(uint32_t number) const {
    return patterns_[number].prefixes;
  }
  enum class Kind : uint8_t { kSimple, kAutomaton, kRe2 };
  Kind kind(uint32_t number) const { return forms_[number].kind; }
  const std::string& text(uint32_t number) const { return patterns_[number].text; }
  const std::string& coordinate(uint32_t number) const { return patterns_[number].coordinate; }
  // States of its automaton; 0 if it has none.
  size_t states(uint32_t number) const {
    return kind(number) == Kind::kAutomaton ? automata_[forms_[number].at].states() : 0;
  }
  // Why it stays with RE2.
  const std::string& why_re2(uint32_t number) const { return patterns_[number].why_re2; }
  size_t size() const { return patterns_.size(); }
  size_t automata_bytes() const { return automata_bytes_; }
  const EngineLimits& limits() const { return limits_; }

 private:
  // Form is what a look-up reads of a pattern.
  struct Form {
    Kind kind = Kind::kSimple;
    bool shared = false;  // Asked for more than once: worth remembering its verdict.
    uint32_t at = 0;      // In the store of its kind.
  };
  struct Pattern {
    std::string coordinate;
    std::string text;
    std::vector<std::string> prefixes;
    std::string why_re2;
  };
  Status Compile(Form& form, Pattern& added, std::unique_ptr<const RE2> compiled);
  bool MatchesInRe2(uint32_t at, std::string_view value) const;
  EngineLimits limits_;
  std::vector<Form> forms_;
  SimplePrograms simple_;
  std::vector<PatternAutomaton> automata_;
  size_t automata_bytes_ = 0;
  std::vector<std::unique_ptr<const RE2>> re2_;
  std::vector<Pattern> patterns_;
  std::unordered_map<std::string, uint32_t> numbers_;
};

}  // namespace countersign::authz::engine
