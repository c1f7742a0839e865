// PatternStore owns the patterns of a policy, each (coordinate, pattern) once. RE2 judges the
// syntax and the size of each; the simple ones then run without it.
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
#include "authz/engine/regex.h"
#include "authz/engine/simple_pattern.h"
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
    const Pattern& pattern = patterns_[number];
    if (pattern.simple) {
      return pattern.simple->Matches(value);
    }
    return pattern.compiled->Match(re2::StringPiece(value.data(), value.size()), 0, value.size(),
                                   RE2::ANCHOR_BOTH, nullptr, 0);
  }
  bool Matches(uint32_t number, std::string_view value, PatternMemo& memo) const {
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
  // is_simple: it runs without RE2.
  bool is_simple(uint32_t number) const { return patterns_[number].simple.has_value(); }
  const std::string& text(uint32_t number) const { return patterns_[number].text; }
  size_t size() const { return patterns_.size(); }
  const EngineLimits& limits() const { return limits_; }

 private:
  struct Pattern {
    std::string text;
    std::vector<std::string> prefixes;
    std::optional<SimplePattern> simple;
    std::unique_ptr<const RE2> compiled;  // Null if it is simple.
  };
  EngineLimits limits_;
  std::vector<Pattern> patterns_;
  std::unordered_map<std::string, uint32_t> numbers_;
};

}  // namespace countersign::authz::engine
