// Policy sets: rules, identity sets, guardrails and scopes.
#include <algorithm>
#include <map>

#include "authz/kinds/boxes.h"
#include "authz/kinds/builders.h"
#include "authz/kinds/digest.h"
#include "authz/kinds/nearest_word.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

// Every rule holds the members of the identity sets that it names. This bounds a set's memory to
// some 30 MB, and is far above what a set that people maintain needs.
constexpr size_t kResolvedIdsMax = 250'000;

struct IdentitySet {
  std::vector<Matcher> ids;
  size_t index = 0;  // In PolicySet::identity_sets.
};
using IdentitySets = std::map<std::string, IdentitySet, std::less<>>;

Subject SubjectOf(std::string_view word) {
  return word == "anyone" ? Subject::kAnyone
         : word == "mesh" ? Subject::kMesh
                          : Subject::kAuthenticated;
}

WallTime TimeOf(const Value& value) { return WallTime(std::chrono::nanoseconds(value.number)); }

// RuleBuilder makes the rules of one AccessPolicy.
class RuleBuilder {
 public:
  RuleBuilder(CheckedDocument& document, const IdentitySets& identity_sets, size_t& resolved_ids,
              PolicySet& set)
      : document_(document),
        identity_sets_(identity_sets),
        resolved_ids_(resolved_ids),
        set_(set) {}

  Rule Build(const Value& value) {
    Rule rule;
    rule.name = value.TextOf("name");
    rule.effect = value.TextOf("effect") == "allow" ? Effect::kAllow : Effect::kDeny;
    rule.where = document_.context->reporter.Position(value.where);
    if (const Value* from = value.Get("from"); from != nullptr && from->is_word) {
      rule.subject = SubjectOf(from->text);
    } else if (from != nullptr) {
      rule.from = BuildEntries(*from);
    }
    if (const Value* to = value.Get("to"); to != nullptr) {
      rule.to = BuildEntries(*to);
    }
    if (const Value* when = value.Get("when"); when != nullptr) {
      BuildWhen(*when, rule);
    }
    if (const Value* expires = value.Get("expires"); expires != nullptr) {
      rule.expires = TimeOf(*expires);
      if (rule.effect == Effect::kDeny) {
        document_.Error(expires->where,
                        "expires is allowed on allow rules only: a deny that ends "
                        "by itself would widen access");
      }
    }
    MergeEntries(rule.from);
    MergeEntries(rule.to);
    if (size_t boxes = BoxCount(rule); boxes > kBoxesPerRuleMax) {
      document_.Error(value.where,
                      Concat("rule ", Quoted(rule.name), " needs ", boxes, " boxes: at most ",
                             kBoxesPerRuleMax, " are allowed; split it into several rules"));
    }
    return rule;
  }

 private:
  std::vector<Entry> BuildEntries(const Value& list) {
    std::vector<Entry> entries;
    for (const Value& item : list.items) {
      Entry entry;
      entry.where = document_.context->reporter.Position(item.where);
      entry.all_of = BuildConditions(item);
      if (const Value* except = item.Get("except"); except != nullptr) {
        for (const Value& exception : except->items) {
          entry.except.push_back(BuildConditions(exception));
        }
        if (entry.all_of.empty()) {
          document_.Error(item.where,
                          "an entry needs a key beside except, which only subtracts: "
                          "for everybody but some, start with id: {present: true}");
        }
      }
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  std::vector<Condition> BuildConditions(const Value& entry) {
    std::vector<Condition> conditions;
    for (const auto& [key, member] : entry.members) {
      if (key == "identitySet") {
        conditions.push_back(ResolveIdentitySets(member));
      } else if (key == "grpc") {
        BuildGrpc(member, entry, conditions);
      } else if (key != "except") {
        conditions.push_back(BuildCondition(member, "", document_));
      }
    }
    std::ranges::stable_sort(conditions, {}, &Condition::field);
    return conditions;
  }

  Condition ResolveIdentitySets(const Value& names) {
    Condition condition;
    condition.where = document_.context->reporter.Position(names.where);
    std::vector<std::string_view> known;
    for (const auto& [name, ids] : identity_sets_) {
      known.push_back(name);
    }
    for (const Value& name : names.items) {
      auto found = identity_sets_.find(name.text);
      if (found == identity_sets_.end()) {
        document_.Error(name.where, Concat("policy set ", Quoted(set_.name), " has no IdentitySet ",
                                           Quoted(name.text), DidYouMean(name.text, known)));
        continue;
      }
      const std::vector<Matcher>& ids = found->second.ids;
      resolved_ids_ += ids.size();
      if (resolved_ids_ > kResolvedIdsMax) {
        document_.Error(name.where, Concat("the rules of policy set ", Quoted(set_.name),
                                           " name IdentitySets with more than ", kResolvedIdsMax,
                                           " members in all; use {under: ...} or fewer rules"));
        break;
      }
      condition.any_of.insert(condition.any_of.end(), ids.begin(), ids.end());
      set_.identity_sets[found->second.index].used = true;
    }
    return condition;
  }

  // A gRPC call is a POST to /SERVICE/METHOD; nothing else is meant.
  void BuildGrpc(const Value& grpc, const Value& entry, std::vector<Condition>& conditions) {
    if (entry.Get("path") != nullptr || entry.Get("methods") != nullptr) {
      document_.Error(grpc.where, "grpc means path and methods: they may not stand beside it");
    }
    Condition method;
    method.field = Field::kMethod;
    method.where = document_.context->reporter.Position(grpc.where);
    method.any_of.push_back({Matcher::Kind::kExact, "POST", {}, 0});
    Condition path = method;
    path.field = Field::kPath;
    path.any_of.clear();
    std::string stem = Concat("/", grpc.TextOf("service"), "/");
    if (const Value* methods = grpc.Get("methods"); methods != nullptr) {
      for (const Value& name : methods->items) {
        path.any_of.push_back({Matcher::Kind::kExact, stem + name.text, {}, 0});
      }
    } else {
      path.any_of.push_back({Matcher::Kind::kTemplate, stem + "{method}", {}, 0});
    }
    conditions.push_back(std::move(method));
    conditions.push_back(std::move(path));
  }

  void BuildWhen(const Value& when, Rule& rule) {
    for (const auto& [family, keys] : when.members) {
      for (const auto& [key, value] : keys.members) {
        rule.when.push_back(BuildCondition(value, key, document_));
      }
    }
  }

  CheckedDocument& document_;
  const IdentitySets& identity_sets_;
  size_t& resolved_ids_;  // Of the whole set so far.
  PolicySet& set_;
};

// Whether an id matcher can meet the scope at all; true when in doubt.
bool MayMeet(const Matcher& applies_to, const Matcher& scope) {
  auto under = [](std::string_view id, std::string_view root) {
    return id.starts_with(root) && (id.size() == root.size() || id[root.size()] == '/');
  };
  if (applies_to.kind == Matcher::Kind::kExact && scope.kind == Matcher::Kind::kPrefix) {
    return applies_to.text.starts_with(scope.text);
  }
  bool exact = applies_to.kind == Matcher::Kind::kExact;
  bool scope_exact = scope.kind == Matcher::Kind::kExact;
  if ((!exact && applies_to.kind != Matcher::Kind::kUnder) ||
      (!scope_exact && scope.kind != Matcher::Kind::kUnder)) {
    return true;
  }
  return (!scope_exact && under(applies_to.text, scope.text)) ||
         (!exact && under(scope.text, applies_to.text)) || applies_to.text == scope.text;
}

void CheckGuardrail(const Value& policy_value, const AccessPolicy& policy,
                    CheckedDocument& document) {
  for (const Rule& rule : policy.rules) {
    if (rule.effect == Effect::kAllow) {
      document.Error(
          {rule.where.line, rule.where.column},
          Concat("rule ", Quoted(rule.name), " allows: a guardrail set may hold only denies"));
    }
  }
  if (const Value* unmatched = policy_value.Get("unmatched"); unmatched != nullptr) {
    document.Error(unmatched->where,
                   "unmatched lets requests through: a guardrail set may hold "
                   "only denies");
  }
}

AccessPolicy BuildPolicy(CheckedDocument& document, const IdentitySets& identity_sets,
                         size_t& resolved_ids, PolicySet& set) {
  const Value& spec = document.spec;
  AccessPolicy policy;
  policy.name = document.name;
  policy.where = document.Position();
  if (const Value* applies_to = spec.Get("appliesTo"); applies_to != nullptr) {
    policy.applies_to_all = applies_to->is_word;
    for (const Value& item : applies_to->items) {
      policy.applies_to.push_back(item.matcher);
      if (!MayMeet(item.matcher, set.scope)) {
        document.Error(item.where, Concat("appliesTo ", Quoted(item.matcher.text),
                                          " lies outside the scope of policy set ",
                                          Quoted(set.name), ": the policy would guard nothing"));
      }
    }
  }
  const Value* dry_run = spec.Get("dryRun");
  policy.dry_run = dry_run != nullptr && dry_run->truth;
  const Value* unmatched = spec.Get("unmatched");
  if (unmatched != nullptr) {
    const Value* trial = unmatched->Get("dryRun");
    if (trial != nullptr && !trial->truth) {
      document.Error(trial->where,
                     "unmatched.dryRun must be true: without a trial remove unmatched");
    }
    if (const Value* until = unmatched->Get("until"); until != nullptr) {
      policy.unmatched_dry_run_until = TimeOf(*until);
    }
  }
  if (const Value* rules = spec.Get("rules"); rules != nullptr) {
    for (const Value& rule : rules->items) {
      if (document.context->reporter.full()) {
        break;
      }
      policy.rules.push_back(RuleBuilder(document, identity_sets, resolved_ids, set).Build(rule));
    }
  } else if (unmatched == nullptr && !document.broken) {
    document.Error(spec.where, "required key \"rules\" is missing in spec");
  }
  if (set.guardrail) {
    CheckGuardrail(spec, policy, document);
  }
  return policy;
}

IdentitySets CollectIdentitySets(std::span<CheckedDocument* const> documents, PolicySet& set) {
  IdentitySets all;
  for (CheckedDocument* document : documents) {
    if (document->kind->name != "IdentitySet") {
      continue;
    }
    IdentitySet& entry = all[document->name];
    entry.index = set.identity_sets.size();
    if (const Value* ids = document->spec.Get("ids"); ids != nullptr) {
      for (const Value& id : ids->items) {
        entry.ids.push_back(id.matcher);
      }
    }
    set.identity_sets.push_back({document->name, false, document->Position()});
  }
  return all;
}

void ReadHead(CheckedDocument& document, PolicySet& set) {
  const Value& spec = document.spec;
  set.name = document.name;
  if (const Value* owner = spec.Get("owner"); owner != nullptr) {
    set.owner = owner->TextOf("id");
  }
  const Value* guardrail = spec.Get("guardrail");
  set.guardrail = guardrail != nullptr && guardrail->truth;
  const Value* scope = spec.Get("scope");
  set.scope.kind = Matcher::Kind::kPresent;
  if (set.guardrail && scope != nullptr) {
    document.Error(scope->where, "a guardrail set has no scope: it covers everything");
  } else if (!set.guardrail && scope != nullptr) {
    set.scope = scope->matcher;
  } else if (!set.guardrail && !document.broken) {
    document.Error(spec.where, "required key \"scope\" is missing in spec");
  }
}

}  // namespace

PolicySet BuildPolicySet(CheckedDocument& set_document,
                         std::span<CheckedDocument* const> documents) {
  PolicySet set;
  ReadHead(set_document, set);
  IdentitySets identity_sets = CollectIdentitySets(documents, set);
  size_t resolved_ids = 0;
  std::vector<std::string> rules;
  for (CheckedDocument* document : documents) {
    if (document->kind->name == "AccessPolicy") {
      set.policies.push_back(BuildPolicy(*document, identity_sets, resolved_ids, set));
      for (const Rule& rule : set.policies.back().rules) {
        rules.push_back(Concat(set.name, "/", document->name, "/", rule.name));
      }
    }
  }
  std::ranges::sort(rules);
  std::vector<std::string> json = {set_document.CanonicalJson()};
  for (CheckedDocument* document : documents) {
    if (document->kind->name == "PolicyTest") {
      std::ranges::move(BuildTests(*document, set.name, rules), std::back_inserter(set.tests));
    }
    json.push_back(document->CanonicalJson());
  }
  std::ranges::sort(set.policies, {}, &AccessPolicy::name);
  set.digest = PolicyDigest(json);
  set.canonical_documents = std::move(json);
  return set;
}

}  // namespace countersign::authz
