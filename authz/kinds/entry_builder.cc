#include "authz/kinds/entry_builder.h"

#include <algorithm>

#include "authz/kinds/builders.h"
#include "authz/kinds/nearest_word.h"
#include "base/status.h"

namespace countersign::authz {
namespace {

// Every rule holds the members of the identity sets that it names. This bounds a set's memory to
// some 30 MB, and is far above what a set that people maintain needs.
constexpr size_t kResolvedIdsMax = 250'000;

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

}  // namespace

Subject SubjectOf(std::string_view word) {
  return word == "anyone" ? Subject::kAnyone
         : word == "mesh" ? Subject::kMesh
                          : Subject::kAuthenticated;
}

void CheckMeetsScope(const Value& matcher, std::string_view key, const PolicySet& set,
                     CheckedDocument& document) {
  if (!MayMeet(matcher.matcher, set.scope)) {
    document.Error(
        matcher.where,
        Concat(key, " ", Quoted(matcher.matcher.text), " lies outside the scope of policy set ",
               Quoted(set.name), ": ",
               document.kind->name == "AccessPolicy" ? "the policy would guard nothing"
                                                     : "the assertion would say nothing"));
  }
}

std::vector<Entry> EntryBuilder::Entries(const Value& list) {
  std::vector<Entry> entries;
  for (const Value& item : list.items) {
    Entry entry;
    entry.where = document_.context->reporter.Position(item.where);
    entry.all_of = Conditions(item);
    if (const Value* except = item.Get("except"); except != nullptr) {
      for (const Value& exception : except->items) {
        entry.except.push_back(Conditions(exception));
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

std::vector<Condition> EntryBuilder::Conditions(const Value& entry) {
  std::vector<Condition> conditions;
  for (const auto& [key, member] : entry.members) {
    if (key == "identitySet") {
      conditions.push_back(ResolveIdentitySets(member));
    } else if (key == "grpc") {
      Grpc(member, entry, conditions);
    } else if (key != "except") {
      conditions.push_back(BuildCondition(member, "", document_));
    }
  }
  std::ranges::stable_sort(conditions, {}, &Condition::field);
  return conditions;
}

Condition EntryBuilder::ResolveIdentitySets(const Value& names) {
  Condition condition;
  condition.where = document_.context->reporter.Position(names.where);
  std::vector<std::string_view> known;
  for (const auto& [name, ids] : scratch_.identity_sets) {
    known.push_back(name);
  }
  for (const Value& name : names.items) {
    auto found = scratch_.identity_sets.find(name.text);
    if (found == scratch_.identity_sets.end()) {
      document_.Error(name.where, Concat("policy set ", Quoted(set_.name), " has no IdentitySet ",
                                         Quoted(name.text), DidYouMean(name.text, known)));
      continue;
    }
    const std::vector<Matcher>& ids = found->second.ids;
    scratch_.resolved_ids += ids.size();
    if (scratch_.resolved_ids > kResolvedIdsMax) {
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
void EntryBuilder::Grpc(const Value& grpc, const Value& entry, std::vector<Condition>& conditions) {
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

std::vector<Condition> EntryBuilder::When(const Value& when) {
  std::vector<Condition> conditions;
  for (const auto& [family, keys] : when.members) {
    for (const auto& [key, value] : keys.members) {
      conditions.push_back(BuildCondition(value, key, document_));
    }
  }
  return conditions;
}

}  // namespace countersign::authz
