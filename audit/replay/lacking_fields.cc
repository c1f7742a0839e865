#include "audit/replay/lacking_fields.h"

#include <algorithm>
#include <set>

namespace countersign::audit {
namespace {

using authz::Condition;
using authz::Entry;
using authz::Rule;

template <class Visit>
void ForEachCondition(const Rule& rule, const Visit& visit) {
  std::ranges::for_each(rule.when, visit);
  for (const auto* entries : {&rule.from, &rule.to}) {
    for (const Entry& entry : *entries) {
      std::ranges::for_each(entry.all_of, visit);
      for (const std::vector<Condition>& exception : entry.except) {
        std::ranges::for_each(exception, visit);
      }
    }
  }
}

// Policies on trial decide nothing.
template <class Visit>
void ForEachEnforced(const authz::PolicySets& sets, const Visit& visit) {
  for (const auto& set : sets) {
    for (const authz::AccessPolicy& policy : set->policies) {
      for (const Rule& rule : policy.rules) {
        if (!policy.dry_run) {
          ForEachCondition(rule, visit);
        }
      }
    }
  }
}

// A condition that every HTTP request meets, or none.
Condition Always(bool holds) {
  Condition condition;
  condition.field = authz::Field::kProtocol;
  condition.any_of.emplace_back().text = holds ? "http" : "tcp";
  return condition;
}

class Bounder {
 public:
  Bounder(std::span<const FieldKey> lacking, Bound bound) : lacking_(lacking), bound_(bound) {}

  void Apply(Rule& rule) const {
    bool matches = (rule.effect == authz::Effect::kAllow) == (bound_ == Bound::kMostAllowed);
    Replace(rule.when, matches);
    for (auto* entries : {&rule.from, &rule.to}) {
      for (Entry& entry : *entries) {
        Replace(entry.all_of, matches);
        for (std::vector<Condition>& exception : entry.except) {
          Replace(exception, !matches);
        }
      }
    }
  }

 private:
  void Replace(std::vector<Condition>& conditions, bool holds) const {
    for (Condition& condition : conditions) {
      if (authz::IsKeyed(condition.field) &&
          std::ranges::find(lacking_, FieldKey{condition.field, condition.key}) != lacking_.end()) {
        condition = Always(holds);
      }
    }
  }
  std::span<const FieldKey> lacking_;
  Bound bound_;
};

}  // namespace

std::string FieldKeyText(const FieldKey& key) {
  return Concat(authz::FieldName(key.field), " ", key.key);
}

std::vector<FieldKey> NamedKeys(const authz::PolicySets& sets) {
  std::set<FieldKey> keys;
  ForEachEnforced(sets, [&](const Condition& condition) {
    if (authz::IsKeyed(condition.field)) {
      keys.insert({condition.field, condition.key});
    }
  });
  return {keys.begin(), keys.end()};
}

bool NamesOnce(const authz::PolicySets& sets, const FieldKey& key) {
  bool once = false;
  ForEachEnforced(sets, [&](const Condition& condition) {
    bool same = condition.field == key.field && condition.key == key.key;
    once = once || (same && !condition.many);
  });
  return once;
}

std::vector<KeySet> KeysByRule(const authz::PolicySets& sets, std::span<const FieldKey> keys) {
  std::vector<KeySet> by_rule;
  for (const auto& set : sets) {
    for (const authz::AccessPolicy& policy : set->policies) {
      for (const Rule& rule : policy.rules) {
        KeySet& named = by_rule.emplace_back(0);
        ForEachCondition(rule, [&](const Condition& condition) {
          auto found = std::ranges::find(keys, FieldKey{condition.field, condition.key});
          if (authz::IsKeyed(condition.field) && found != keys.end()) {
            named |= KeySet{1} << (found - keys.begin());
          }
        });
      }
    }
  }
  return by_rule;
}

authz::PolicySets Bounded(const authz::PolicySets& sets, std::span<const FieldKey> lacking,
                          Bound bound) {
  Bounder bounder(lacking, bound);
  authz::PolicySets bounded;
  for (const auto& set : sets) {
    auto copy = std::make_shared<authz::PolicySet>(*set);
    for (authz::AccessPolicy& policy : copy->policies) {
      std::ranges::for_each(policy.rules, [&](Rule& rule) { bounder.Apply(rule); });
    }
    bounded.push_back(std::move(copy));
  }
  return bounded;
}

}  // namespace countersign::audit
