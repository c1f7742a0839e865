// How much of the policies the PolicyTests try: which rules, which sides of each predicate, and
// which borders.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authz/check/policy_test_runner.h"
#include "authz/model/policy.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::authz {

// RuleCoverage counts cases.
struct RuleCoverage {
  std::string rule;  // "shop/orders/storefront-reads".
  SourcePosition where;
  size_t matched = 0;     // The rule matched.
  size_t decided = 0;     // It was the one that decided.
  bool on_trial = false;  // Of a policy with dryRun, which decides nothing.
};

// PredicateCoverage is about a condition, an exception or a word of `from`.
struct PredicateCoverage {
  std::string rule;
  std::string predicate;  // "from id", "to path", "to except", "when headers x-tenant".
  SourcePosition where;
  bool held = false;  // True in some case at a workload that the policy guards.
  bool failed = false;
  // Border: all else of the rule matched, so that this predicate alone made the difference.
  bool inside = false;   // And the rule matched.
  bool outside = false;  // And the rule did not.
};

// CoverageReport is in the order of the sets.
struct CoverageReport {
  std::vector<RuleCoverage> rules;
  std::vector<PredicateCoverage> predicates;
  // Percentages, rounded down; 100 where there is nothing to cover.
  unsigned RulePercent() const;      // Rules that matched in some case.
  unsigned FieldPercent() const;     // Sides of predicates that some case saw.
  unsigned BoundaryPercent() const;  // Sides of borders that some case saw.
};

// MeasureCoverage runs the tests of all `sets` over all of them; `results` are those of
// RunPolicyTests. Requests that a proxy answers with 400 cover nothing.
StatusOr<CoverageReport> MeasureCoverage(const std::vector<std::shared_ptr<const PolicySet>>& sets,
                                         const std::vector<TestCaseResult>& results, WallTime now);

}  // namespace countersign::authz
