#include "authz/engine/validate.h"

namespace countersign::authz::engine {
namespace {

bool FitsField(Matcher::Kind kind, Field field) {
  switch (kind) {
    case Matcher::Kind::kIp:
      return field == Field::kPeerIp;
    case Matcher::Kind::kPort:
      return field == Field::kPort;
    case Matcher::Kind::kTemplate:
      return field == Field::kPath;
    case Matcher::Kind::kPresent:
    case Matcher::Kind::kAbsent:
      return true;
    default:
      return field != Field::kPeerIp && field != Field::kPort;
  }
}

Status ValidateCondition(const Condition& condition) {
  if (condition.any_of.empty()) {
    return InvalidArgument("a condition on ", FieldName(condition.field), " without a value");
  }
  bool repeatable = condition.field == Field::kHeader || condition.field == Field::kQuery;
  bool keyed = repeatable || condition.field == Field::kClaim;
  if (keyed == condition.key.empty() || (condition.many && !repeatable)) {
    return InvalidArgument("a condition on ", FieldName(condition.field),
                           " with a key or `many` out of place");
  }
  for (const Matcher& matcher : condition.any_of) {
    if (!FitsField(matcher.kind, condition.field)) {
      return InvalidArgument("a predicate that the field ", FieldName(condition.field),
                             " does not have");
    }
    if (matcher.range.prefix_bits > 128) {
      return InvalidArgument("an address range with a prefix over 128 bits");
    }
  }
  return absl::OkStatus();
}

Status ValidateEntry(const Entry& entry) {
  if (entry.all_of.empty()) {
    return InvalidArgument("an entry without a condition");
  }
  for (const Condition& condition : entry.all_of) {
    RETURN_IF_ERROR(ValidateCondition(condition));
  }
  for (const std::vector<Condition>& exception : entry.except) {
    if (exception.empty()) {
      return InvalidArgument("an `except` without a condition");
    }
    for (const Condition& condition : exception) {
      RETURN_IF_ERROR(ValidateCondition(condition));
    }
  }
  return absl::OkStatus();
}

Status ValidateRule(const Rule& rule, const PolicySet& set) {
  if (set.guardrail && rule.effect != Effect::kDeny) {
    return InvalidArgument("a guardrail set may hold denies only");
  }
  if (rule.effect == Effect::kDeny && rule.expires) {
    return InvalidArgument("`expires` on a deny would widen access one day");
  }
  if ((rule.subject == Subject::kEntries) == rule.from.empty()) {
    return InvalidArgument("`from` must be entries or one word");
  }
  for (const Entry& entry : rule.from) {
    RETURN_IF_ERROR(ValidateEntry(entry));
  }
  for (const Entry& entry : rule.to) {
    RETURN_IF_ERROR(ValidateEntry(entry));
  }
  for (const Condition& condition : rule.when) {
    RETURN_IF_ERROR(ValidateCondition(condition));
  }
  return absl::OkStatus();
}

using Visit = std::function<Status(const std::string&)>;

Status VisitMatchers(const std::vector<Matcher>& matchers, const Visit& visit) {
  for (const Matcher& matcher : matchers) {
    if (matcher.kind == Matcher::Kind::kRe2) {
      RETURN_IF_ERROR(visit(matcher.text));
    }
  }
  return absl::OkStatus();
}

Status VisitConditions(const std::vector<Condition>& conditions, const Visit& visit) {
  for (const Condition& condition : conditions) {
    RETURN_IF_ERROR(VisitMatchers(condition.any_of, visit));
  }
  return absl::OkStatus();
}

Status VisitEntries(const std::vector<Entry>& entries, const Visit& visit) {
  for (const Entry& entry : entries) {
    RETURN_IF_ERROR(VisitConditions(entry.all_of, visit));
    for (const std::vector<Condition>& exception : entry.except) {
      RETURN_IF_ERROR(VisitConditions(exception, visit));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Status ValidateSets(const std::vector<std::shared_ptr<const PolicySet>>& sets) {
  for (const auto& set : sets) {
    if (set == nullptr) {
      return InvalidArgument("a policy set that is not there");
    }
    for (const AccessPolicy& policy : set->policies) {
      if (policy.applies_to_all != policy.applies_to.empty()) {
        return InvalidArgument(set->name, "/", policy.name,
                               ": `appliesTo` must be matchers or all");
      }
      if (set->guardrail && policy.unmatched_dry_run_until) {
        return InvalidArgument(set->name, "/", policy.name,
                               ": a guardrail set cannot let unmatched requests through");
      }
      for (const Rule& rule : policy.rules) {
        if (Status status = ValidateRule(rule, *set); !status.ok()) {
          return Annotate(status, Concat(set->name, "/", policy.name, "/", rule.name));
        }
      }
    }
  }
  return absl::OkStatus();
}

Status ForEachPattern(const PolicySet& set, const Visit& visit) {
  if (set.scope.kind == Matcher::Kind::kRe2) {
    RETURN_IF_ERROR(visit(set.scope.text));
  }
  for (const AccessPolicy& policy : set.policies) {
    RETURN_IF_ERROR(VisitMatchers(policy.applies_to, visit));
    for (const Rule& rule : policy.rules) {
      RETURN_IF_ERROR(VisitEntries(rule.from, visit));
      RETURN_IF_ERROR(VisitEntries(rule.to, visit));
      RETURN_IF_ERROR(VisitConditions(rule.when, visit));
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::authz::engine
