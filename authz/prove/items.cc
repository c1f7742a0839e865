#include "authz/prove/items.h"

#include <algorithm>
#include <set>
#include <utility>

#include "authz/engine/lower.h"

namespace countersign::authz::prove {
namespace {

void Normalise(Conjunct& conjunct) {
  std::ranges::sort(conjunct);
  auto doubles = std::ranges::unique(conjunct);
  conjunct.erase(doubles.begin(), doubles.end());
}

bool AsksForAbsence(const Condition& condition) {
  return std::ranges::any_of(condition.any_of, [](const Matcher& matcher) {
    return matcher.kind == Matcher::Kind::kAbsent;
  });
}

bool AsksForValue(const Condition& condition) {
  return std::ranges::any_of(condition.any_of, [](const Matcher& matcher) {
    return matcher.kind != Matcher::Kind::kAbsent && matcher.kind != Matcher::Kind::kPresent;
  });
}

Condition Presence() {
  Condition condition;
  condition.any_of.emplace_back().kind = Matcher::Kind::kPresent;
  return condition;
}

// Calls visit(condition) for every condition of the rule as it is written.
template <class Visit>
void ForEachCondition(const Rule& rule, Visit visit) {
  for (const std::vector<Entry>* entries : {&rule.from, &rule.to}) {
    for (const Entry& entry : *entries) {
      std::ranges::for_each(entry.all_of, visit);
      for (const std::vector<Condition>& exception : entry.except) {
        std::ranges::for_each(exception, visit);
      }
    }
  }
  std::ranges::for_each(rule.when, visit);
}

bool NamesClaim(const engine::LoweredBox& box) {
  auto names_claim = [](const std::vector<Condition>& conditions) {
    return std::ranges::any_of(conditions,
                               [](const Condition& c) { return c.field == Field::kClaim; });
  };
  return names_claim(box.all_of) || std::ranges::any_of(box.except, names_claim);
}

bool HasHttpOnly(const std::vector<Condition>& conditions) {
  return std::ranges::any_of(conditions, [](const Condition& c) { return IsHttpOnly(c.field); });
}

// Takes out what no TCP connection is in; false if nothing is left.
bool DropHttpOnly(Rule& rule) {
  bool to_all = rule.to.empty();
  for (std::vector<Entry>* entries : {&rule.from, &rule.to}) {
    std::erase_if(*entries, [](const Entry& entry) { return HasHttpOnly(entry.all_of); });
    for (Entry& entry : *entries) {
      std::erase_if(entry.except, HasHttpOnly);
    }
  }
  bool from = rule.subject != Subject::kEntries || !rule.from.empty();
  return from && (to_all || !rule.to.empty()) && !HasHttpOnly(rule.when);
}

}  // namespace

void Items::Add(Item item) {
  Normalise(item.all);
  for (Conjunct& exception : item.except) {
    Normalise(exception);
  }
  std::ranges::sort(item.except);
  auto doubles = std::ranges::unique(item.except);
  item.except.erase(doubles.begin(), doubles.end());
  std::vector<uint32_t> key = item.all;
  for (const Conjunct& exception : item.except) {
    key.push_back(UINT32_MAX);
    key.insert(key.end(), exception.begin(), exception.end());
  }
  auto [place, fresh] = numbers_.try_emplace(std::move(key), list_.size());
  if (fresh) {
    list_.push_back(std::move(item));
  } else {
    list_[place->second].roles |= item.roles;
  }
}

uint32_t ItemMaker::CalleePredicate(const std::vector<Matcher>& any_of) {
  Condition condition;
  condition.any_of = any_of;
  return space_.PredicateNumber({.coordinate = space_.CoordinateNumber({Axis::kCallee, ""}),
                                 .language = space_.LanguageNumber(condition)});
}

Conjunct ItemMaker::Guard(const Place& place) {
  Conjunct guard;
  if (place.set != nullptr && place.set->scope.kind != Matcher::Kind::kPresent) {
    guard.push_back(CalleePredicate({place.set->scope}));
  }
  if (place.policy != nullptr && !place.policy->applies_to_all) {
    guard.push_back(CalleePredicate(place.policy->applies_to));
  }
  return guard;
}

uint32_t ItemMaker::PredicateOf(const Condition& condition, Effect effect, Stands stands) {
  Predicate predicate;
  predicate.coordinate = space_.CoordinateNumber(CoordinateOf(condition));
  predicate.language = space_.LanguageNumber(condition);
  // Semantics 6. What cannot be judged is false where a rule asks for it; in an exception it
  // excludes from an allow and saves nobody from a deny.
  predicate.on_absent =
      AsksForAbsence(condition) ||
      (stands == Stands::kInExcept && effect == Effect::kAllow && AsksForValue(condition));
  // Semantics 7. Without `many` a repeated key is refused before any rule.
  if (condition.many) {
    bool all = (effect == Effect::kAllow) == (stands == Stands::kInEntry);
    predicate.repeated = all ? Repeated::kAll : Repeated::kAny;
  }
  return space_.PredicateNumber(predicate);
}

Conjunct ItemMaker::Conditions(const std::vector<Condition>& conditions, Effect effect,
                               Stands stands) {
  Conjunct conjunct;
  for (const Condition& condition : conditions) {
    conjunct.push_back(PredicateOf(condition, effect, stands));
  }
  return conjunct;
}

Status ItemMaker::AddRule(const Rule& rule, const Place& place, Roles roles, Items& items) {
  return AddBoxes(rule, Guard(place), roles, items);
}

Status ItemMaker::AddBoxes(const Rule& rule, const Conjunct& guard, Roles roles, Items& items) {
  ASSIGN_OR_RETURN(std::vector<engine::LoweredBox> boxes,
                   engine::LowerRule(rule, kind_, EngineLimits()));
  if (std::ranges::any_of(boxes, NamesClaim)) {
    // The values of a claim are a list, and no claim is known without a token: two things that the
    // coordinates here do not say. A proof that left them out would be wrong.
    return Error(StatusCode::kUnimplemented, "rule ", Quoted(rule.name),
                 " names claims, which proofs do not cover");
  }
  for (const engine::LoweredBox& box : boxes) {
    Item item;
    item.roles = roles;
    item.rule = &rule;
    item.all = Conditions(box.all_of, rule.effect, Stands::kInEntry);
    item.all.insert(item.all.end(), guard.begin(), guard.end());
    if (box.subject == Subject::kAuthenticated || box.subject == Subject::kMesh) {
      item.all.push_back(
          space_.PredicateNumber({.coordinate = space_.CoordinateNumber({Axis::kCaller, ""}),
                                  .language = space_.LanguageNumber(Presence())}));
    }
    if (box.subject == Subject::kMesh) {
      item.all.push_back(
          space_.PredicateNumber({.coordinate = space_.CoordinateNumber({Axis::kMesh, ""})}));
    }
    for (const std::vector<Condition>& exception : box.except) {
      item.except.push_back(Conditions(exception, rule.effect, Stands::kInExcept));
    }
    items.Add(std::move(item));
  }
  return absl::OkStatus();
}

Status ItemMaker::AddAssertion(const PolicyAssertion& assertion, const PolicySet& set,
                               const RegionRoles& roles, std::deque<Rule>& rules, Items& items) {
  Conjunct guard;
  if (set.scope.kind != Matcher::Kind::kPresent) {
    guard.push_back(CalleePredicate({set.scope}));
  }
  if (!assertion.workloads.empty()) {
    guard.push_back(CalleePredicate(assertion.workloads));
  }
  // Read as a deny is: a predicate on an absent value is false, and an exception on it takes
  // nothing away. For TCP what has HTTP fields is taken out first, so that none is widened.
  bool apart = (assertion.form == PolicyAssertion::Form::kOnly) != assertion.all_except;
  Rule& region = rules.emplace_back();
  region.name = assertion.name;
  region.where = assertion.where;
  region.subject = apart ? Subject::kAnyone : assertion.subject;
  region.from = apart ? std::vector<Entry>() : assertion.from;
  region.to = assertion.to;
  region.when = assertion.when;
  if (kind_ == RequestKind::kHttp || DropHttpOnly(region)) {
    RETURN_IF_ERROR(AddBoxes(region, guard, roles.region, items));
  }
  if (!apart) {
    return absl::OkStatus();
  }
  Rule& outside = rules.emplace_back();
  outside.name = assertion.name;
  outside.subject = assertion.subject;
  outside.from = assertion.from;
  if (kind_ == RequestKind::kHttp || DropHttpOnly(outside)) {
    RETURN_IF_ERROR(AddBoxes(outside, {}, roles.outside, items));
  }
  return absl::OkStatus();
}

void ItemMaker::AddRepeatedKeys(const Rule& rule, const Conjunct& guard, Roles roles,
                                Items& items) {
  ForEachCondition(rule, [&](const Condition& condition) {
    bool keyed = condition.field == Field::kHeader || condition.field == Field::kQuery;
    if (!keyed || condition.many) {
      return;
    }
    Item item;
    item.roles = roles;
    item.rule = &rule;
    item.all = guard;
    item.all.push_back(
        space_.PredicateNumber({.coordinate = space_.CoordinateNumber(CoordinateOf(condition)),
                                .language = Space::kNothing,
                                .repeated = Repeated::kAlways}));
    items.Add(std::move(item));
  });
}

Status ItemMaker::AddPolicies(const PolicySets& sets, const PolicyRoles& roles, Items& items) {
  for (const auto& set : sets) {
    for (const AccessPolicy& policy : set->policies) {
      if (policy.dry_run) {
        continue;
      }
      Place place{.set = set.get(), .policy = &policy};
      Conjunct guard = Guard(place);
      if (policy.unmatched_dry_run_until && now_ < *policy.unmatched_dry_run_until) {
        items.Add({.roles = roles.allow, .all = guard, .except = {}});
      }
      for (const Rule& rule : policy.rules) {
        if (rule.expires && now_ >= *rule.expires) {
          continue;
        }
        Status status =
            AddRule(rule, place, rule.effect == Effect::kDeny ? roles.deny : roles.allow, items);
        if (!status.ok()) {
          return Annotate(status, Concat(set->name, "/", policy.name, "/", rule.name));
        }
        if (kind_ == RequestKind::kHttp) {
          AddRepeatedKeys(rule, guard, roles.deny, items);
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::authz::prove
