#include "authz/model/decision.h"

#include <array>

namespace countersign::authz {

std::string_view ReasonName(Reason reason) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "no_policy",       "no_rule_matched",      "deny_rule",    "allow_rule",
      "unmatched_trial", "ambiguous_field",      "engine_fault", "probe",
      "local_caller",    "local_caller_refused", "not_ready"};
  auto index = static_cast<size_t>(reason);
  return index < kNames.size() ? kNames[index] : "unknown";
}

}  // namespace countersign::authz
