// NaiveAuthorizer judges by reading the policy as it is written: short, slow and obviously right.
// It is the reference that CompiledPolicy is held against, and what policy tests run beside it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "authz/model/decision.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz {

using PolicySets = std::vector<std::shared_ptr<const PolicySet>>;

// NaiveDecision owns what Decision borrows.
struct NaiveDecision {
  Effect effect = Effect::kDeny;
  Reason reason = Reason::kEngineFault;
  uint32_t deciding_rule = kNoRule;
  std::vector<uint32_t> matched;
  Effect would_be = Effect::kDeny;
};

// NaiveAuthorizer is immutable; safe to share between threads. Rules are numbered through all sets
// in their order, policies and rules in theirs, as in CompiledPolicy.
class NaiveAuthorizer {
 public:
  // Create fails on a pattern that RE2 refuses and on what no loader lets through.
  static StatusOr<NaiveAuthorizer> Create(PolicySets sets);
  NaiveAuthorizer(NaiveAuthorizer&&) noexcept;
  NaiveAuthorizer& operator=(NaiveAuthorizer&&) noexcept;
  ~NaiveAuthorizer();

  NaiveDecision Decide(const CanonicalRequest& request, WallTime now) const;

 private:
  class Patterns;
  NaiveAuthorizer(PolicySets sets, std::unique_ptr<const Patterns> patterns);
  PolicySets sets_;
  std::unique_ptr<const Patterns> patterns_;
};

}  // namespace countersign::authz
