// Paths as policies write them.
#pragma once

#include <string_view>

#include "authz/model/field.h"
#include "base/status.h"

namespace countersign::authz {

// CheckLiteralPath refuses what no canonical path (semantics 10) can equal.
Status CheckLiteralPath(std::string_view path);

// CheckPathPart refuses what no canonical path can begin or end with.
enum class PathPart { kPrefix, kSuffix };
Status CheckPathPart(std::string_view part, PathPart place);

// ParsePathTemplate reads a bare path: {x} is one segment, a final /** it and everything below.
// Without either it is a literal; with /** alone it is {under: ...}.
Status ParsePathTemplate(std::string_view text, Matcher& out);

}  // namespace countersign::authz
