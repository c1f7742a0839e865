// Assertions: what must hold for every possible request, proved over all sets together.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/prove/items.h"
#include "authz/prove/judge.h"
#include "authz/prove/options.h"
#include "base/status.h"

namespace countersign::authz::prove {

// Counterexample is a request for which an assertion does not hold.
struct Counterexample {
  std::vector<std::string> conditions;  // All requests of this region do as it does.
  PolicyTestCase::Request request;
  bool replayable = true;
  Judgement judgement;  // The engine's own verdict on it.
};

// AssertionResult is one assertion with what became of it.
struct AssertionResult {
  std::string set;
  std::string name;
  SourcePosition where;
  // Not OK: nothing was proved; kResourceExhausted says at which limit the prover gave up.
  Status status;
  std::optional<Counterexample> violation;
  bool holds() const { return status.ok() && !violation; }
};

// AssertionChecker proves assertions over one version of all sets. One thread.
class AssertionChecker {
 public:
  static StatusOr<std::unique_ptr<AssertionChecker>> Create(PolicySets sets,
                                                            const ProveOptions& options);
  // Check proves one assertion; `set` owns it and bounds its workloads.
  AssertionResult Check(const PolicySet& set, const PolicyAssertion& assertion);
  // CheckAll proves those of all sets, in their order.
  std::vector<AssertionResult> CheckAll();

 private:
  AssertionChecker(PolicySets sets, const ProveOptions& options)
      : options_(options), sets_(std::move(sets)), space_(options.limits, options.relaxations) {}
  Status Prove(const PolicySet& set, const PolicyAssertion& assertion, AssertionResult& result);

  const ProveOptions options_;
  const PolicySets sets_;
  Space space_;
  Items http_;
  Items tcp_;
};

// CheckAssertions is Create and CheckAll; without assertions it does nothing.
StatusOr<std::vector<AssertionResult>> CheckAssertions(const PolicySets& sets,
                                                       const ProveOptions& options);

}  // namespace countersign::authz::prove
