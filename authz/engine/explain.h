// Explanations of decisions for people and machines: which rule decided, which others matched, and
// for a deny the allow rule that came nearest with the first field in which it failed.
//
// Off the data path: it reads the policy as written and allocates.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/model/decision.h"
#include "authz/model/request.h"

namespace countersign::authz {

// RuleReference names a rule as people know it.
struct RuleReference {
  std::string set;
  std::string policy;
  std::string rule;
  std::string set_digest;
  SourcePosition where;
  std::string Name() const { return set + "/" + policy + "/" + rule; }
};

// MissReport is the nearest allow rule of a denied request.
struct MissReport {
  RuleReference rule;
  Field field = Field::kId;  // The first that failed, in the order of Field.
  std::string key;           // Of a header or query field.
  std::string expected;      // "one of GET, HEAD", "under /orders".
  std::string actual;        // Shortened; "absent" without quotes if there is no value.
};

// Explanation owns everything; it outlives decision and policy.
struct Explanation {
  Effect effect = Effect::kDeny;
  Reason reason = Reason::kEngineFault;
  Effect would_be = Effect::kDeny;
  std::string policy_digest;
  std::optional<RuleReference> deciding;
  std::vector<RuleReference> matched;
  std::optional<MissReport> nearest_miss;

  std::string Text() const;  // One paragraph.
  std::string Json() const;  // One object.
};

// FindNearestMiss finds, among the enforced and unexpired allow rules that guard the callee, the
// one with the fewest failed fields (then the latest first failure, then the lowest number).
// Decision-sized for logs: rule, field and key only.
NearestMiss FindNearestMiss(const CompiledPolicy& policy, const CanonicalRequest& request,
                            WallTime now);

RuleReference Reference(const CompiledPolicy& policy, uint32_t rule);

Explanation Explain(const CompiledPolicy& policy, const CanonicalRequest& request, WallTime now,
                    const Decision& decision);

}  // namespace countersign::authz
