// Re2Contender judges the bench's policy with RE2 alone, in the two ways that come to mind: all
// rules in order, or one RE2::Set over their paths and then each candidate.
#pragma once

#include <memory>

#include "authz/bench/policy_shape.h"
#include "authz/model/policy.h"
#include "authz/model/request.h"

namespace countersign::bench {

// Re2Contender is one thread's.
class Re2Contender {
 public:
  // Borrows the shape's rules.
  explicit Re2Contender(const Shape& shape);
  ~Re2Contender();
  authz::Effect Linear(const authz::CanonicalRequest& request);
  authz::Effect Set(const authz::CanonicalRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::bench
