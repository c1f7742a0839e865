#include "audit/replay/guarding.h"

#include <algorithm>

namespace countersign::audit {
namespace {

// What makes a set the same set, without what it says.
std::shared_ptr<authz::PolicySet> EmptyCopy(const authz::PolicySet& set) {
  auto copy = std::make_shared<authz::PolicySet>();
  copy->name = set.name;
  copy->owner = set.owner;
  copy->guardrail = set.guardrail;
  copy->scope = set.scope;
  copy->digest = set.digest;
  return copy;
}

}  // namespace

StatusOr<GuardingPolicies> GuardingPolicies::Create(authz::PolicySets sets) {
  authz::PolicySets probes;
  for (const auto& set : sets) {
    auto probe = EmptyCopy(*set);
    for (const authz::AccessPolicy& policy : set->policies) {
      authz::AccessPolicy& guard = probe->policies.emplace_back();
      guard.name = policy.name;
      guard.applies_to_all = policy.applies_to_all;
      guard.applies_to = policy.applies_to;
      authz::Rule& rule = guard.rules.emplace_back();
      rule.name = "guards";
      rule.effect = authz::Effect::kDeny;  // Guardrail sets may hold nothing else.
      rule.subject = authz::Subject::kAnyone;
    }
    probes.push_back(std::move(probe));
  }
  ASSIGN_OR_RETURN(authz::NaiveAuthorizer probe, authz::NaiveAuthorizer::Create(std::move(probes)));
  return GuardingPolicies(std::move(sets), std::move(probe));
}

authz::PolicySets GuardingPolicies::Of(std::string_view workload) const {
  authz::CanonicalRequest request;
  request.callee = workload;
  const std::vector<uint32_t> guards = probe_.Decide(request, WallTime()).matched;
  authz::PolicySets parts;
  uint32_t number = 0;
  for (const auto& set : sets_) {
    auto part = EmptyCopy(*set);
    for (const authz::AccessPolicy& policy : set->policies) {
      if (std::ranges::binary_search(guards, number++)) {
        part->policies.push_back(policy);
      }
    }
    if (!part->policies.empty()) {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

}  // namespace countersign::audit
