// Prints canonical JSON documents as the YAML that an author would write.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::authz {

// ToYaml prints one document: apiVersion, kind, metadata, spec in this order, other keys as they
// stand. What it prints loads to the same canonical document.
StatusOr<std::string> ToYaml(std::string_view canonical_json);

}  // namespace countersign::authz
