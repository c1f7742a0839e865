// Words for people where a text is no YAML: the usual slips of policy files are known by their
// line, and answered with their mend.
#pragma once

#include <string_view>

#include "authz/yaml/parse.h"

namespace countersign::authz::yaml {

// SyntaxProblem is what to say of a text that yaml-cpp refused at `found.where` with
// `found.message`. Takes time linear in the text.
Problem SyntaxProblem(std::string_view text, const Problem& found);

}  // namespace countersign::authz::yaml
