// Matchers over one text that need no table: borders and templates.
#pragma once

#include <string_view>

namespace countersign::authz::engine {

// MatchesUnder: the border itself, or it and a '/' and more.
inline bool MatchesUnder(std::string_view border, std::string_view value) {
  return value.starts_with(border) &&
         (value.size() == border.size() || border.ends_with('/') || value[border.size()] == '/');
}

bool MatchesTemplate(std::string_view pattern, std::string_view path);

}  // namespace countersign::authz::engine
