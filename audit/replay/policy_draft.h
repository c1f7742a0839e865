// PolicyDraft writes suggested rules as AccessPolicy documents and puts them among policy sets.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "audit/replay/observed_service.h"
#include "authz/engine/compiled_policy.h"
#include "base/status.h"

namespace countersign::audit {

// DraftDocument is the JSON of an AccessPolicy for one workload.
std::string DraftDocument(std::string_view name, std::string_view workload,
                          std::span<const SuggestedRule> rules);

// LoneSet is a set of that one document, in memory only, for judging.
StatusOr<authz::PolicySets> LoneSet(const std::string& document, std::string_view workload);

// Placed is what became of one set.
struct Placed {
  authz::PolicySets sets;
  std::string set;
  std::string name;      // Of the policy.
  std::string document;  // Canonical.
  std::string former;    // Canonical; empty: there was none.
};

struct PlaceQuestion {
  std::string name;  // Of a policy that has to be new.
  std::string workload;
  std::vector<SuggestedRule> rules;
};

// Place puts the rules where the policies for exactly this workload stand: the first of them keeps
// its name and its denies and is on trial no more, the others keep their denies only, and none lets
// through what nothing matches. Without one it is a new policy in the first set that may guard the
// workload. Fails with kNotFound if there is no such set, and with kInvalidArgument if the result
// cannot be loaded.
StatusOr<Placed> Place(const authz::PolicySets& sets, const PlaceQuestion& question);

}  // namespace countersign::audit
