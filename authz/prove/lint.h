// Findings about rules that are proved and not guessed: rules that change nothing, patterns that no
// request can match, allows that reach further than they look.
#pragma once

#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/prove/options.h"
#include "base/status.h"

namespace countersign::authz::prove {

// LintFinding is one finding at its place. It owns everything.
struct LintFinding {
  enum class Kind : uint8_t {
    kNeverMatches,  // No request is in the rule.
    kFullyDenied,   // An allow: whatever it allows is denied by other rules.
    kShadowed,      // Other rules of its effect hold all of its requests.
    kRedundant,     // An allow: what others do not allow, denies take.
    kDeadPattern,   // One pattern of a condition matches no value that a request can have.
    kAnyDomain,     // An allow: a pattern over ids admits every trust domain.
    kGaveUp,        // A limit was reached: nothing is said of this rule.
  };
  Kind kind = Kind::kNeverMatches;
  std::string rule;  // "set/policy/rule"
  SourcePosition where;
  std::string message;  // With a witness where there is one.
};

// LintRules looks at every rule of the enforced policies that has not expired.
StatusOr<std::vector<LintFinding>> LintRules(const PolicySets& sets, const ProveOptions& options);

}  // namespace countersign::authz::prove
