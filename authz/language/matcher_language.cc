#include "authz/language/matcher_language.h"

#include <utility>
#include <vector>

namespace countersign::authz::language {
namespace {

using Id = Expression::Id;

// Segments are compared between slashes: "{x}" is one that is not empty, a final "**" everything.
Id Template(std::string_view text, Expression& out) {
  std::vector<Id> parts;
  for (bool more = true; more;) {
    size_t slash = text.find('/');
    std::string_view segment = text.substr(0, slash);
    if (segment.starts_with('{') && segment.ends_with('}')) {
      Id byte = out.Bytes(ByteSet::Of('/').Complement());
      parts.push_back(out.Repeat(byte, {.least = 1, .most = kUnbounded}));
    } else {
      parts.push_back(out.Literal(segment));
    }
    more = slash != std::string_view::npos;
    text = more ? text.substr(slash + 1) : std::string_view();
    if (more && text == "**") {
      // What it covers ends here, or goes on behind a slash.
      Id below = out.Concat({out.Literal("/"), out.AnyText()});
      parts.push_back(out.Repeat(below, {.least = 0, .most = 1}));
      break;
    }
    if (more) {
      parts.push_back(out.Literal("/"));
    }
  }
  return out.Concat(parts);
}

}  // namespace

StatusOr<Language> LanguageOf(const Matcher& matcher, const LanguageLimits& limits) {
  Expression expression;
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      return Language::Literal(matcher.text);
    case Matcher::Kind::kRe2:
      return Language::FromPattern(matcher.text, limits);
    case Matcher::Kind::kPresent:
      return Language::Everything();
    case Matcher::Kind::kAbsent:
      return Language::Nothing();
    case Matcher::Kind::kUnder:
      // X itself, or X and a '/' and anything; at a border by itself if X ends with '/'.
      return Language::Beginning(matcher.text, matcher.text.ends_with('/')
                                                   ? Language::Rest::kAnything
                                                   : Language::Rest::kNothingOrSlash);
    case Matcher::Kind::kPrefix:
      return Language::Beginning(matcher.text, Language::Rest::kAnything);
    case Matcher::Kind::kSuffix:
      expression.Concat({expression.AnyText(), expression.Literal(matcher.text)});
      break;
    case Matcher::Kind::kTemplate:
      Template(matcher.text, expression);
      break;
    case Matcher::Kind::kIp:
    case Matcher::Kind::kPort:
      return InvalidArgument("addresses and ports are no texts: they have no language");
  }
  return Language::FromExpression(expression, limits);
}

StatusOr<Language> LanguageOfAny(std::span<const Matcher> matchers, const LanguageLimits& limits) {
  std::vector<Language> parts;
  for (const Matcher& matcher : matchers) {
    ASSIGN_OR_RETURN(Language part, LanguageOf(matcher, limits));
    parts.push_back(std::move(part));
  }
  if (parts.empty()) {
    return Language::Nothing();
  }
  // Pairs of neighbours, so that no part is taken up more than a logarithm of times.
  while (parts.size() > 1) {
    std::vector<Language> joined;
    for (size_t i = 0; i + 1 < parts.size(); i += 2) {
      ASSIGN_OR_RETURN(Language both, Union(parts[i], parts[i + 1], limits));
      joined.push_back(std::move(both));
    }
    if (parts.size() % 2 == 1) {
      joined.push_back(std::move(parts.back()));
    }
    parts = std::move(joined);
  }
  return std::move(parts[0]);
}

}  // namespace countersign::authz::language
