#include "authz/prove/judge.h"

#include "authz/prove/witness.h"

namespace countersign::authz::prove {

StatusOr<Judge> Judge::Create(PolicySets sets, WallTime now) {
  ASSIGN_OR_RETURN(std::shared_ptr<const CompiledPolicy> policy,
                   CompiledPolicy::Compile(std::move(sets)));
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
