// Runs PolicyTests: each case's request is judged by both evaluators over all sets together, as
// `policy test`, CI and every apply do.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authz/kinds/loader.h"
#include "authz/model/policy.h"
#include "base/clock.h"

namespace countersign::authz {

// TestCaseResult is one case with what became of it. It owns everything.
struct TestCaseResult {
  std::string set;
  std::string name;
  SourcePosition where;
  bool passed = false;
  Effect expected = Effect::kDeny;
  Effect actual = Effect::kDeny;
  std::string reason;                      // "allow_rule", "no_rule_matched", "bad_request", ...
  std::string expected_rule;               // Empty: any.
  std::string deciding_rule;               // "shop/orders/storefront-reads", or empty.
  std::vector<std::string> matched_rules;  // All that matched, the deciding one among them.
  std::string nearest_rule;                // Of a deny: the allow rule that came closest, or empty.
  std::string nearest_field;  // The first field in which it failed: "path: expected ..., was ...".
};

// TestReport holds every case in the order of sets, and the failures as diagnostics.
struct TestReport {
  std::vector<TestCaseResult> cases;
  std::vector<Diagnostic> diagnostics;  // An error for each failed case; others if nothing ran.
  size_t failed() const;
  bool ok() const { return diagnostics.empty(); }
};

// RunPolicyTests judges the cases of all `sets` over all of them together. If the sets cannot be
// compiled, the report says why and has no cases.
TestReport RunPolicyTests(const std::vector<std::shared_ptr<const PolicySet>>& sets, WallTime now);

}  // namespace countersign::authz
