// Judge asks the engine itself about a witness: no claim of a report rests on the prover alone.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "authz/engine/compiled_policy.h"
#include "authz/model/policy.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Judgement is what one version says of a request.
struct Judgement {
  Effect effect = Effect::kDeny;
  Reason reason = Reason::kEngineFault;
  std::string rule;      // "set/policy/rule" that decides, or empty.
  SourcePosition where;  // Of that rule.
  bool allowed() const { return effect == Effect::kAllow; }
};

// Judge is for one thread.
class Judge {
 public:
  // Create compiles the policies that may guard one of `callees`, as a proxy does: no other has a
  // say on them. Fails as CompiledPolicy::Compile does.
  static StatusOr<Judge> Create(const PolicySets& sets, std::span<const std::string> callees,
                                WallTime now);
  // `request` must be to one of the callees.
  Judgement Decide(const PolicyTestCase::Request& request);

 private:
  Judge(std::shared_ptr<const CompiledPolicy> policy, WallTime now)
      : policy_(std::move(policy)), scratch_(*policy_), now_(now) {}
  std::shared_ptr<const CompiledPolicy> policy_;
  DecisionScratch scratch_;
  WallTime now_;
};

}  // namespace countersign::authz::prove
