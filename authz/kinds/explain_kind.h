// Explains kinds and fields from the field table, as `countersign explain KIND.FIELD` prints them.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::authz {

// ExplainField explains "accesspolicy", "AccessPolicy.spec.rules" or "service.spec.ports.tls"; the
// kind's letters have no case. An unknown name is an error with the nearest one.
StatusOr<std::string> ExplainField(std::string_view name);
// ExplainFieldJson is the same as one JSON object with kind, path, type, required, doc, example,
// default and fields.
StatusOr<std::string> ExplainFieldJson(std::string_view name);

// ListKinds is a line for each kind: its name and what it is.
std::string ListKinds();

}  // namespace countersign::authz
