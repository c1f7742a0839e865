// Policy sets: rules, identity sets, guardrails and scopes.
#include <algorithm>

#include "authz/kinds/boxes.h"
#include "authz/kinds/builders.h"
#include "authz/kinds/digest.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

WallTime TimeOf(const Value& value) { return WallTime(std::chrono::nanoseconds(value.number)); }

// RuleBuilder makes the rules of one AccessPolicy.
class RuleBuilder {
 public:
  RuleBuilder(CheckedDocument& document, SetScratch& scratch, PolicySet& set)
      : document_(document), entries_(document, scratch, set) {}

  Rule Build(const Value& value) {
    Rule rule;
    rule.name = value.TextOf("name");
    rule.effect = value.TextOf("effect") == "allow" ? Effect::kAllow : Effect::kDeny;
    rule.where = document_.context->reporter.Position(value.where);
    if (const Value* from = value.Get("from"); from != nullptr && from->is_word) {
      rule.subject = SubjectOf(from->text);
    } else if (from != nullptr) {
      rule.from = entries_.Entries(*from);
    }
    if (const Value* to = value.Get("to"); to != nullptr) {
      rule.to = entries_.Entries(*to);
    }
    if (const Value* when = value.Get("when"); when != nullptr) {
      rule.when = entries_.When(*when);
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
    if (size_t boxes = BoxCount(rule.from, rule.to); boxes > kBoxesPerRuleMax) {
      document_.Error(value.where,
                      Concat("rule ", Quoted(rule.name), " needs ", boxes, " boxes: at most ",
                             kBoxesPerRuleMax, " are allowed; split it into several rules"));
    }
    return rule;
  }

 private:
  CheckedDocument& document_;
  EntryBuilder entries_;
};

void CheckGuardrail(const Value& policy_value, const AccessPolicy& policy,
                    CheckedDocument& document) {
  for (const Rule& rule : policy.rules) {
    if (rule.effect == Effect::kAllow) {
      document.Error({rule.where.line, rule.where.column},
                     Concat("rule ", Quoted(rule.name),
                            " allows: a guardrail set may hold only denies and assertions"));
    }
  }
  if (const Value* unmatched = policy_value.Get("unmatched"); unmatched != nullptr) {
    document.Error(unmatched->where,
                   "unmatched lets requests through: a guardrail set may hold "
                   "only denies and assertions");
  }
}

AccessPolicy BuildPolicy(CheckedDocument& document, SetScratch& scratch, PolicySet& set) {
  const Value& spec = document.spec;
  AccessPolicy policy;
  policy.name = document.name;
  policy.where = document.Position();
  if (const Value* applies_to = spec.Get("appliesTo"); applies_to != nullptr) {
    policy.applies_to_all = applies_to->is_word;
    for (const Value& item : applies_to->items) {
      policy.applies_to.push_back(item.matcher);
      CheckMeetsScope(item, "appliesTo", set, document);
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
      policy.rules.push_back(RuleBuilder(document, scratch, set).Build(rule));
    }
  } else if (unmatched == nullptr && !document.broken) {
    document.Error(spec.where, "required key \"rules\" is missing in spec");
  }
  if (set.guardrail) {
    CheckGuardrail(spec, policy, document);
  }
  return policy;
}

SetScratch CollectIdentitySets(std::span<CheckedDocument* const> documents, PolicySet& set) {
  SetScratch scratch;
  for (CheckedDocument* document : documents) {
    if (document->kind->name != "IdentitySet") {
      continue;
    }
    IdentitySetMembers& entry = scratch.identity_sets[document->name];
    entry.index = set.identity_sets.size();
    if (const Value* ids = document->spec.Get("ids"); ids != nullptr) {
      for (const Value& id : ids->items) {
        entry.ids.push_back(id.matcher);
      }
    }
    set.identity_sets.push_back({document->name, false, document->Position()});
  }
  return scratch;
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
  SetScratch scratch = CollectIdentitySets(documents, set);
  std::vector<std::string> rules;
  for (CheckedDocument* document : documents) {
    if (document->kind->name == "AccessPolicy") {
      set.policies.push_back(BuildPolicy(*document, scratch, set));
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
    } else if (document->kind->name == "PolicyAssertion") {
      set.assertions.push_back(BuildAssertion(*document, scratch, set));
    }
    json.push_back(document->CanonicalJson());
  }
  std::ranges::sort(set.policies, {}, &AccessPolicy::name);
  set.digest = PolicyDigest(json);
  set.canonical_documents = std::move(json);
  return set;
}

}  // namespace countersign::authz
