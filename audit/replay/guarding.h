// GuardingPolicies: the part of some policy sets that has a say on one workload.
#pragma once

#include <string_view>

#include "authz/engine/compiled_policy.h"
#include "authz/engine/naive_authorizer.h"
#include "base/status.h"

namespace countersign::audit {

// GuardingPolicies is immutable; safe to share between threads.
class GuardingPolicies {
 public:
  // Fails as NaiveAuthorizer does.
  static StatusOr<GuardingPolicies> Create(authz::PolicySets sets);

  // Of gives the sets with those of their policies that guard the workload, in their order; a set
  // of which none does is left out.
  authz::PolicySets Of(std::string_view workload) const;

 private:
  GuardingPolicies(authz::PolicySets sets, authz::NaiveAuthorizer probe)
      : sets_(std::move(sets)), probe_(std::move(probe)) {}
  authz::PolicySets sets_;
  authz::NaiveAuthorizer probe_;  // One rule a policy, which matches wherever the policy guards.
};

}  // namespace countersign::audit
