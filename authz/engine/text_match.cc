#include "authz/engine/text_match.h"

namespace countersign::authz::engine {

std::optional<bool> MatchesPlainly(const Matcher& matcher, std::string_view value) {
  switch (matcher.kind) {
    case Matcher::Kind::kPresent:
      return true;
    case Matcher::Kind::kExact:
      return value == matcher.text;
    case Matcher::Kind::kUnder:
      return MatchesUnder(matcher.text, value);
    case Matcher::Kind::kPrefix:
      return value.starts_with(matcher.text);
    case Matcher::Kind::kSuffix:
      return value.ends_with(matcher.text);
    default:
      return std::nullopt;
  }
}

bool MatchesTemplate(std::string_view pattern, std::string_view path) {
  for (;;) {
    size_t pattern_slash = pattern.find('/');
    std::string_view segment = pattern.substr(0, pattern_slash);
    size_t path_slash = path.find('/');
    std::string_view actual = path.substr(0, path_slash);
    bool variable = segment.starts_with('{') && segment.ends_with('}');
    if (variable ? actual.empty() : segment != actual) {
      return false;
    }
    if (pattern_slash == std::string_view::npos) {
      return path_slash == std::string_view::npos;
    }
    pattern.remove_prefix(pattern_slash + 1);
    if (pattern == "**") {
      return true;
    }
    if (path_slash == std::string_view::npos) {
      return false;
    }
    path.remove_prefix(path_slash + 1);
  }
}

}  // namespace countersign::authz::engine
