// Matchers over one text that need no table: borders and templates.
#pragma once

#include <optional>
#include <string_view>

#include "authz/model/policy.h"

namespace countersign::authz::engine {

// MatchesUnder: the border itself, or it and a '/' and more.
inline bool MatchesUnder(std::string_view border, std::string_view value) {
  return value.starts_with(border) &&
         (value.size() == border.size() || border.ends_with('/') || value[border.size()] == '/');
}

// MatchesPlainly judges presence, equality, borders, prefixes and suffixes; nothing if only a
// pattern or a template knows.
std::optional<bool> MatchesPlainly(const Matcher& matcher, std::string_view value);

bool MatchesTemplate(std::string_view pattern, std::string_view path);

}  // namespace countersign::authz::engine
