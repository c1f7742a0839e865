// The bytes of a file before any parser sees them.
#pragma once

#include <optional>
#include <string_view>

#include "authz/yaml/parse.h"

namespace countersign::authz::yaml {

// CheckText finds the first byte that is not well-formed UTF-8 or is a control character other than
// tab and line ends. Characters that make a reader see other text than the parser, by turning its
// direction or beginning a line of their own, are control characters too.
std::optional<Problem> CheckText(std::string_view text);

// IsPlainText says whether CheckText finds nothing.
bool IsPlainText(std::string_view text);

}  // namespace countersign::authz::yaml
