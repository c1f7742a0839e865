#include "authz/check/evaluate.h"

#include "authz/check/test_request.h"
#include "authz/engine/compiled_policy.h"

namespace countersign::authz {

StatusOr<Evaluation> EvaluateRequest(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                     const PolicyTestCase::Request& source, WallTime now) {
  ASSIGN_OR_RETURN(std::shared_ptr<const CompiledPolicy> compiled, CompiledPolicy::Compile(sets));
  TestRequest request(source);
  Evaluation evaluation;
  evaluation.refused = request.error();
  if (evaluation.refused == CanonicalError::kNone) {
    DecisionScratch scratch(*compiled);
    Decision decision = compiled->Decide(request.canonical(), now, scratch);
    evaluation.explanation = Explain(*compiled, request.canonical(), now, decision);
  }
  return evaluation;
}

}  // namespace countersign::authz
