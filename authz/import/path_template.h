// URI templates of paths: {*} is one segment, {**} everything from there on.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::authz::import {

// TemplatePattern is a pattern over canonical paths. A segment that {*} stands for has only the
// bytes that a URI template takes, so that it is no bare `{x}` of ours. Fails on what Istio's
// validation refuses.
StatusOr<std::string> TemplatePattern(std::string_view path);

}  // namespace countersign::authz::import
