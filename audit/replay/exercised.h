// ExercisedRegions: which regions of the exact difference of two policies the traffic went through.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "audit/record/decision_record.h"
#include "audit/replay/limits.h"
#include "authz/engine/compiled_policy.h"
#include "authz/prove/diff.h"
#include "base/status.h"

namespace countersign::audit {

// Before is the policies as they are, which the candidate is compared with.
struct DiffQuestion {
  authz::PolicySets before;
  authz::PolicySets after;
  authz::prove::ProveOptions options;
};

// ExercisedRegions is for one thread.
class ExercisedRegions {
 public:
  // Fails as DiffPolicies does: with kResourceExhausted when the proof gave up.
  static StatusOr<ExercisedRegions> Create(const DiffQuestion& question,
                                           const ReplayLimits& limits);

  // See takes a record. Only one that both versions judge differently is in a region.
  void See(const DecisionRecord& record);

  const authz::prove::DiffReport& diff() const { return diff_; }
  bool exercised(size_t change) const { return exercised_[change]; }
  // False: a limit was met, and a region that is not marked may have been gone through.
  bool complete() const { return complete_; }

 private:
  struct Side {
    std::shared_ptr<const authz::CompiledPolicy> policy;
    authz::DecisionScratch scratch;
  };
  ExercisedRegions() = default;
  static StatusOr<Side> Compile(const authz::PolicySets& sets);

  authz::prove::DiffReport diff_;
  WallTime now_ = {};
  Side before_;
  Side after_;
  ReplayLimits limits_;
  std::vector<bool> exercised_;
  std::unordered_set<std::string> seen_;  // SHA-256 of requests that were looked for.
  size_t looks_ = 0;
  bool complete_ = true;
};

}  // namespace countersign::audit
