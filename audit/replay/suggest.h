// Suggest: the tightest policy, in callers, methods and paths, that admits what a service was seen
// to admit.
//
// The logs are read twice: once to learn, once to judge every observed request by the result, which
// is given only if it admits each. What no record holds it cannot know: what will be called
// tomorrow, whether what was called should have been, and conditions on headers, queries, claims,
// addresses, hosts and SNI, of which it makes none.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "audit/replay/observed_service.h"
#include "audit/replay/replay.h"
#include "authz/engine/compiled_policy.h"
#include "base/status.h"

namespace countersign::audit {

struct SuggestLimits {
  ObservedLimits observed;
  ReplayLimits replay;
  size_t workloads_max = 64;  // Of one service's name. Error.
};

struct SuggestQuestion {
  LogWindow window;
  std::string service;  // As records name it.
  // The policies as they are, if the suggestion is to take the place of one of them.
  std::optional<authz::PolicySets> present;
  SuggestLimits limits;
};

// SuggestedPolicy is one AccessPolicy, for one workload.
struct SuggestedPolicy {
  std::string workload;
  std::string set;  // Among the present ones; empty without them.
  std::string name;
  std::string document;  // JSON of the document, canonical if there are present policies.
  // The canonical document whose place it takes; empty: there is none. Its denies are kept.
  std::string former;
};

struct Suggestion {
  WindowCounts window;
  uint64_t observed = 0;  // Allowed requests of the service. All that follow are of them.
  uint64_t admitted = 0;
  // Denied now by rules that stay, by the rule's name: the suggestion does not argue with a deny.
  std::map<std::string, uint64_t> denied_by;
  uint64_t unjudged = 0;  // A deny that stays hangs on a field that the record lacks.
  std::vector<SuggestedPolicy> policies;  // By workload.
  // Policies that guard such a workload too and stay as they are: "baseline/health".
  std::vector<std::string> staying;
  authz::PolicySets after;  // The present ones with the suggestion in its place, or it alone.
};

// Suggest fails as Replay does; with kNotFound if nothing of the service was let through; with
// kInternal if the result does not admit what was observed, which would be an error of ours.
StatusOr<Suggestion> Suggest(const SuggestQuestion& question);

}  // namespace countersign::audit
