#include "authz/prove/judge.h"

#include <algorithm>
#include <iterator>

#include "authz/prove/witness.h"

namespace countersign::authz::prove {

namespace {

bool IsUnder(std::string_view border, std::string_view value) {
  return value.starts_with(border) &&
         (value.size() == border.size() || border.ends_with('/') || value[border.size()] == '/');
}

// In doubt it may.
bool MayMatch(const Matcher& matcher, std::string_view id) {
  switch (matcher.kind) {
    case Matcher::Kind::kExact:
      return id == matcher.text;
    case Matcher::Kind::kUnder:
      return IsUnder(matcher.text, id);
    case Matcher::Kind::kPrefix:
      return id.starts_with(matcher.text);
    case Matcher::Kind::kSuffix:
      return id.ends_with(matcher.text);
    default:
      return true;
  }
}

bool MayGuard(const PolicySet& set, const AccessPolicy& policy,
              std::span<const std::string> callees) {
  return std::ranges::any_of(callees, [&](const std::string& callee) {
    return MayMatch(set.scope, callee) &&
           (policy.applies_to_all ||
            std::ranges::any_of(policy.applies_to,
                                [&](const Matcher& matcher) { return MayMatch(matcher, callee); }));
  });
}

PolicySets Concerning(const PolicySets& sets, std::span<const std::string> callees) {
  PolicySets kept;
  for (const auto& set : sets) {
    auto part = std::make_shared<PolicySet>();
    part->name = set->name;
    part->guardrail = set->guardrail;
    part->scope = set->scope;
    part->digest = set->digest;
    std::ranges::copy_if(
        set->policies, std::back_inserter(part->policies),
        [&](const AccessPolicy& policy) { return MayGuard(*set, policy, callees); });
    kept.push_back(std::move(part));
  }
  return kept;
}

}  // namespace

StatusOr<Judge> Judge::Create(const PolicySets& sets, std::span<const std::string> callees,
                              WallTime now) {
  ASSIGN_OR_RETURN(std::shared_ptr<const CompiledPolicy> policy,
                   CompiledPolicy::Compile(Concerning(sets, callees)));
  return Judge(std::move(policy), now);
}

Judgement Judge::Decide(const PolicyTestCase::Request& request) {
  OwnedView view(request);
  Decision decision = policy_->Decide(view.get(), now_, scratch_);
  Judgement judgement{
      .effect = decision.effect, .reason = decision.reason, .rule = {}, .where = {}};
  if (decision.deciding_rule != kNoRule) {
    judgement.rule = policy_->RuleName(decision.deciding_rule);
    judgement.where = policy_->RuleWhere(decision.deciding_rule);
  }
  return judgement;
}

}  // namespace countersign::authz::prove
