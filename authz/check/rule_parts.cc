#include "authz/check/rule_parts.h"

#include <algorithm>

namespace countersign::authz {
namespace {

std::string LabelOf(std::string_view place, const Condition& condition) {
  return Concat(place, " ", FieldName(condition.field), condition.key.empty() ? "" : " ",
                condition.key);
}

Rule AnyRule(const Rule& source) {
  Rule rule;
  rule.name = source.name;
  rule.effect = source.effect;
  rule.expires = source.expires;
  rule.subject = Subject::kAnyone;
  rule.where = source.where;
  return rule;
}

// Where an entry stands: its list in the rule, so that the two lists share the code below.
struct ListPlace {
  std::vector<Entry> Rule::*list;
  std::string_view word;
};
constexpr ListPlace kLists[] = {{&Rule::from, "from"}, {&Rule::to, "to"}};

// An entry without conditions asks for nothing: so does the whole list then.
void DropList(const ListPlace& place, Rule& rule) {
  (rule.*place.list).clear();
  if (place.list == &Rule::from) {
    rule.subject = Subject::kAnyone;
  }
}

Rule OneEntry(const Rule& rule, const ListPlace& place, size_t entry) {
  Rule one = rule;
  one.*place.list = {(rule.*place.list)[entry]};
  return one;
}

RulePart PartOfCondition(const Rule& rule, const ListPlace& place, size_t entry, size_t at) {
  const Condition& condition = (rule.*place.list)[entry].all_of[at];
  RulePart part;
  part.label = LabelOf(place.word, condition);
  part.conditions = {condition};
  part.where = condition.where;
  part.alone = AnyRule(rule);
  part.alone.to = {Entry{{condition}, {}, {}}};
  part.whole = OneEntry(rule, place, entry);
  part.without = part.whole;
  Entry& changed = (part.without.*place.list).front();
  changed.all_of.erase(changed.all_of.begin() + static_cast<std::ptrdiff_t>(at));
  if (changed.all_of.empty() && changed.except.empty()) {
    DropList(place, part.without);
  } else if (changed.all_of.empty()) {
    // What is left only subtracts: from everything that has a protocol, which everything has.
    Condition any;
    any.field = Field::kProtocol;
    any.any_of.push_back({Matcher::Kind::kPresent, {}, {}, 0});
    changed.all_of.push_back(any);
  }
  return part;
}

RulePart PartOfException(const Rule& rule, const ListPlace& place, size_t entry, size_t at) {
  RulePart part;
  part.kind = RulePart::Kind::kException;
  part.label = Concat(place.word, " except");
  part.conditions = (rule.*place.list)[entry].except[at];
  part.where = part.conditions.front().where;
  part.alone = AnyRule(rule);
  part.alone.to = {Entry{part.conditions, {}, {}}};
  part.whole = OneEntry(rule, place, entry);
  part.without = part.whole;
  auto& exceptions = (part.without.*place.list).front().except;
  exceptions.erase(exceptions.begin() + static_cast<std::ptrdiff_t>(at));
  return part;
}

void AddListParts(const Rule& rule, const ListPlace& place, std::vector<RulePart>& parts) {
  const std::vector<Entry>& list = rule.*place.list;
  for (size_t entry = 0; entry < list.size(); ++entry) {
    for (size_t at = 0; at < list[entry].all_of.size(); ++at) {
      parts.push_back(PartOfCondition(rule, place, entry, at));
    }
    for (size_t at = 0; at < list[entry].except.size(); ++at) {
      parts.push_back(PartOfException(rule, place, entry, at));
    }
  }
}

}  // namespace

std::vector<RulePart> PartsOf(const Rule& rule) {
  std::vector<RulePart> parts;
  if (rule.subject == Subject::kAuthenticated || rule.subject == Subject::kMesh) {
    RulePart& part = parts.emplace_back();
    part.kind = RulePart::Kind::kSubject;
    part.label = rule.subject == Subject::kMesh ? "from mesh" : "from authenticated";
    part.where = rule.where;
    part.alone = AnyRule(rule);
    part.alone.subject = rule.subject;
    part.whole = rule;
    part.without = rule;
    part.without.subject = Subject::kAnyone;
  }
  for (const ListPlace& place : kLists) {
    AddListParts(rule, place, parts);
  }
  for (size_t at = 0; at < rule.when.size(); ++at) {
    RulePart& part = parts.emplace_back();
    part.label = LabelOf("when", rule.when[at]);
    part.conditions = {rule.when[at]};
    part.where = rule.when[at].where;
    part.alone = AnyRule(rule);
    part.alone.when = part.conditions;
    part.whole = rule;
    part.without = rule;
    part.without.when.erase(part.without.when.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return parts;
}

StatusOr<RuleVariants> RuleVariants::Create(const PolicySets& sets) {
  std::vector<Variant> variants;
  PolicySets made;
  uint32_t count = 0;
  for (const auto& set : sets) {
    auto copy = std::make_shared<PolicySet>();
    copy->name = set->name;
    copy->scope = set->scope;
    for (const AccessPolicy& policy : set->policies) {
      AccessPolicy& judged = copy->policies.emplace_back();
      judged.name = policy.name;
      judged.applies_to_all = policy.applies_to_all;
      judged.applies_to = policy.applies_to;
      Rule& guard = judged.rules.emplace_back();
      guard.subject = Subject::kAnyone;
      uint32_t guard_number = count++;
      for (const Rule& rule : policy.rules) {
        Variant& variant = variants.emplace_back();
        variant.rule = Concat(set->name, "/", policy.name, "/", rule.name);
        variant.set = set->name;
        variant.where = rule.where;
        variant.source = &rule;
        variant.policy = &policy;
        variant.policy_set = set.get();
        variant.parts = PartsOf(rule);
        variant.guard = guard_number;
        variant.first = count;
        judged.rules.push_back(rule);
        for (const RulePart& part : variant.parts) {
          judged.rules.push_back(part.alone);
          judged.rules.push_back(part.whole);
          judged.rules.push_back(part.without);
        }
        count += 1 + 3 * static_cast<uint32_t>(variant.parts.size());
      }
    }
    made.push_back(std::move(copy));
  }
  ASSIGN_OR_RETURN(NaiveAuthorizer naive, NaiveAuthorizer::Create(std::move(made)));
  return RuleVariants(std::move(variants), count, std::move(naive));
}

std::vector<bool> RuleVariants::Truths(const CanonicalRequest& request, WallTime now) const {
  NaiveDecision decision = naive_.Decide(request, now);
  if (decision.reason == Reason::kAmbiguousField) {
    return {};
  }
  std::vector<bool> truths(count_, false);
  for (uint32_t number : decision.matched) {
    truths[number] = true;
  }
  return truths;
}

}  // namespace countersign::authz
