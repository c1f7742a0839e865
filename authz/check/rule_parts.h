// The predicates of a rule one by one, and what the rule would be without each: what coverage and
// boundary cases are made of.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "authz/engine/naive_authorizer.h"
#include "authz/model/policy.h"
#include "base/status.h"

namespace countersign::authz {

// RulePart is a word of `from`, a condition, or an exception as a whole.
struct RulePart {
  enum class Kind : uint8_t { kSubject, kCondition, kException };
  Kind kind = Kind::kCondition;
  std::string label;                  // "from id", "to except", "when headers x-tenant".
  std::vector<Condition> conditions;  // One, those of the exception, or none.
  SourcePosition where;
  Rule alone;    // Nothing but this part.
  Rule whole;    // The rule, of the part's list only the part's own entry.
  Rule without;  // The same, but this part.
};

// PartsOf gives none for `from: anyone` and for what a rule leaves out.
std::vector<RulePart> PartsOf(const Rule& rule);

// RuleVariants judges every rule of some sets and its parts on one request. Trials are judged as
// if they were none; `appliesTo`, scope and `expires` hold as written. Immutable.
class RuleVariants {
 public:
  struct Variant {
    std::string rule;  // "shop/orders/storefront-reads".
    std::string set;
    SourcePosition where;
    const Rule* source = nullptr;  // In the sets, which the caller keeps.
    const AccessPolicy* policy = nullptr;
    const PolicySet* policy_set = nullptr;
    std::vector<RulePart> parts;
    uint32_t guard = 0;  // Number of what matches wherever the policy guards.
    uint32_t first = 0;  // Number of the rule; the three of part i begin at first + 1 + 3 * i.
  };

  static StatusOr<RuleVariants> Create(const PolicySets& sets);

  const std::vector<Variant>& variants() const { return variants_; }

  // Truths says for every number whether that variant matches. Empty if the request is ambiguous.
  std::vector<bool> Truths(const CanonicalRequest& request, WallTime now) const;
  static uint32_t Alone(const Variant& variant, size_t part) {
    return variant.first + 1 + 3 * static_cast<uint32_t>(part);
  }
  static uint32_t Whole(const Variant& variant, size_t part) { return Alone(variant, part) + 1; }
  static uint32_t Without(const Variant& variant, size_t part) { return Alone(variant, part) + 2; }

 private:
  RuleVariants(std::vector<Variant> variants, uint32_t count, NaiveAuthorizer naive)
      : variants_(std::move(variants)), count_(count), naive_(std::move(naive)) {}
  std::vector<Variant> variants_;
  uint32_t count_;
  NaiveAuthorizer naive_;
};

}  // namespace countersign::authz
