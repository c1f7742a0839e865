#include "authz/engine/regex.h"

#include <algorithm>
#include <utility>

#include "authz/language/parse_pattern.h"

namespace countersign::authz::engine {

RE2::Options PatternOptions(int64_t memory_bytes) {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  options.set_log_errors(false);
  options.set_max_mem(memory_bytes);
  return options;
}

namespace {

// RE2 20220601 compares the literal behind a leading anchor before it runs the automaton. Where it
// has taken that literal out of alternatives it forgets that the pattern is Latin-1 and compares
// UTF-8: ^(?:\xE9x|\xE9y) matches "\xC3\xA9x" and not "\xE9x". An empty group in front changes no
// language and keeps it from that comparison.
StatusOr<std::unique_ptr<const RE2>> WithoutRequiredPrefix(std::unique_ptr<const RE2> compiled,
                                                           const EngineLimits& limits) {
  const std::string& pattern = compiled->pattern();
  bool may_be_anchored =
      pattern.find('^') != std::string::npos || pattern.find("\\A") != std::string::npos;
  if (!may_be_anchored) {
    return compiled;
  }
  auto guarded =
      std::make_unique<const RE2>("(?:)" + pattern, PatternOptions(limits.pattern_memory_bytes));
  if (!guarded->ok()) {
    return ResourceExhausted("pattern ", Quoted(pattern), ": ", guarded->error());
  }
  return guarded;
}

}  // namespace

StatusOr<std::unique_ptr<const RE2>> CompilePattern(std::string_view pattern,
                                                    const EngineLimits& limits) {
  if (pattern.size() > limits.pattern_bytes_max) {
    return ResourceExhausted("pattern ", Quoted(pattern), " has ", pattern.size(),
                             " bytes, more than pattern_bytes_max = ", limits.pattern_bytes_max);
  }
  auto compiled = std::make_unique<const RE2>(re2::StringPiece(pattern.data(), pattern.size()),
                                              PatternOptions(limits.pattern_memory_bytes));
  if (compiled->error_code() == RE2::ErrorPatternTooLarge) {
    return ResourceExhausted(
        "pattern ", Quoted(pattern),
        " needs more than pattern_memory_bytes = ", limits.pattern_memory_bytes);
  }
  if (!compiled->ok()) {
    return InvalidArgument("pattern ", Quoted(pattern), ": ", compiled->error());
  }
  // What RE2 would judge otherwise than it says, and what no proof could be made about.
  language::LanguageLimits language_limits;
  language_limits.pattern_bytes_max = limits.pattern_bytes_max;
  RETURN_IF_ERROR(language::ParsePattern(pattern, language_limits).status());
  return WithoutRequiredPrefix(std::move(compiled), limits);
}

std::string RequiredPrefix(const RE2& pattern) {
  // Every match lies between these two in byte order, and so begins with what both begin with.
  std::string least;
  std::string most;
  constexpr int kPrefixBytesMax = 128;
  if (!pattern.PossibleMatchRange(&least, &most, kPrefixBytesMax)) {
    return {};
  }
  auto [end, other] = std::mismatch(least.begin(), least.end(), most.begin(), most.end());
  return std::string(least.begin(), end);
}

}  // namespace countersign::authz::engine
