// One AuthZEN evaluation, taken apart into a RawRequest.
//
// For the .cc files of this folder: it has a JSON library in its interface.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "identity/spiffe_id.h"
#include "identity/strict_json.h"
#include "pdp/check_request.h"

namespace countersign::pdp {

using identity::Json;

// EvaluationParts are the four members of an evaluation; null: absent. Borrowed.
struct EvaluationParts {
  const Json* subject = nullptr;
  const Json* action = nullptr;
  const Json* resource = nullptr;
  const Json* context = nullptr;
};

// ReadEvaluation fills `raw`, which borrows from the JSON. What it gives is why it could not: an
// unknown type or member, a missing one, or one of another JSON type.
std::optional<std::string> ReadEvaluation(const EvaluationParts& parts, RawRequest& raw);

}  // namespace countersign::pdp
