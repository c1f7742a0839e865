// JSON from outside, read once and strictly: bundles, JWK Sets, JWT headers and claims, AuthZEN.
//
// For the .cc files that read such documents; nobody's public header includes it.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace countersign::identity {

using Json = nlohmann::json;

// StrictJsonLimits bounds one document; `what` names it in messages: "bundle".
struct StrictJsonLimits {
  std::string_view what;
  size_t bytes_max;
  size_t depth_max;
};

// ParseStrictJson refuses what a JSON reader would otherwise decide silently: duplicate names (RFC
// 8259 section 4 leaves the winner open), integers that do not fit into 64 bits (section 6 leaves
// their value open), text that is not UTF-8 and deep nesting. It stops at the first of them.
StatusOr<Json> ParseStrictJson(std::string_view text, const StrictJsonLimits& limits);

}  // namespace countersign::identity
