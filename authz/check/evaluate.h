// Judges one request over candidate policy sets, for people: `countersign policy eval`.
#pragma once

#include <memory>
#include <vector>

#include "authz/engine/canonical.h"
#include "authz/engine/explain.h"
#include "authz/model/policy.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz {

// Evaluation is what became of a request. It owns everything.
struct Evaluation {
  // Not kNone: a proxy answers 400 before any rule is asked, and `explanation` is empty.
  CanonicalError refused = CanonicalError::kNone;
  Explanation explanation;
  bool allowed() const {
    return refused == CanonicalError::kNone && explanation.effect == Effect::kAllow;
  }
};

// EvaluateRequest fails if the sets cannot be compiled.
StatusOr<Evaluation> EvaluateRequest(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                     const PolicyTestCase::Request& request, WallTime now);

}  // namespace countersign::authz
