#include "audit/replay/policy_draft.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "authz/kinds/loader.h"

namespace countersign::audit {
namespace {

using Json = nlohmann::json;
constexpr const char* kApiVersion = "countersign.dev/v1alpha1";

// A list of one is written as its one, as people do.
Json OneOrMore(Json list) { return list.size() == 1 ? list.front() : list; }

Json PathJson(const PathWord& path) {
  switch (path.form) {
    case PathWord::Form::kExact:
      return {{"exact", path.text}};
    case PathWord::Form::kRe2:
      return {{"re2", path.text}};
    case PathWord::Form::kBare:
      break;
  }
  return path.text;
}

Json EntryJson(const SuggestedEntry& entry) {
  if (!entry.tcp_ports.empty()) {
    return {{"protocol", "tcp"}, {"port", OneOrMore(Json(entry.tcp_ports))}};
  }
  Json paths = Json::array();
  for (const PathWord& path : entry.paths) {
    paths.push_back(PathJson(path));
  }
  return {{"methods", entry.methods}, {"path", OneOrMore(std::move(paths))}};
}

Json RuleJson(const SuggestedRule& rule) {
  Json from = Json::array();
  for (const std::string& caller : rule.callers) {
    from.push_back({{"id", caller.empty() ? Json{{"present", false}} : Json(caller)}});
  }
  Json to = Json::array();
  for (const SuggestedEntry& entry : rule.to) {
    to.push_back(EntryJson(entry));
  }
  return {{"name", rule.name}, {"effect", "allow"}, {"from", from}, {"to", to}};
}

bool IsFor(const authz::AccessPolicy& policy, std::string_view workload) {
  return policy.applies_to.size() == 1 &&
         policy.applies_to[0].kind == authz::Matcher::Kind::kExact &&
         policy.applies_to[0].text == workload;
}

bool MayGuard(const authz::PolicySet& set, std::string_view workload) {
  const authz::Matcher& scope = set.scope;
  bool under = workload.starts_with(scope.text) &&
               (workload.size() == scope.text.size() || scope.text.ends_with('/') ||
                workload[scope.text.size()] == '/');
  return !set.guardrail && ((scope.kind == authz::Matcher::Kind::kUnder && under) ||
                            (scope.kind == authz::Matcher::Kind::kExact && scope.text == workload));
}

bool IsPolicy(const std::string& text, std::string_view name) {
  const Json document = Json::parse(text);
  return document.at("kind").get<std::string>() == "AccessPolicy" &&
         document.at("metadata").at("name").get<std::string>() == name;
}

// SetEditor changes one set's documents.
class SetEditor {
 public:
  explicit SetEditor(const authz::PolicySet& set) : documents_(set.canonical_documents) {}

  // Gives the document of the policy to `change`, and takes its place if it has rules afterwards.
  void Change(std::string_view policy, const std::function<void(Json& document)>& change) {
    auto at = std::ranges::find_if(
        documents_, [policy](const std::string& text) { return IsPolicy(text, policy); });
    CHECK(at != documents_.end());
    Json document = Json::parse(*at);
    change(document);
    if (document["spec"]["rules"].empty()) {
      documents_.erase(at);
    } else {
      *at = document.dump();
    }
  }
  void Add(std::string document) { documents_.push_back(std::move(document)); }
  // A new document's name must be one that the set has not.
  std::string FreeName(const std::string& wanted) const {
    auto taken = [this](const std::string& name) {
      return std::ranges::any_of(documents_,
                                 [&name](const std::string& text) { return IsPolicy(text, name); });
    };
    std::string name = wanted;
    for (size_t number = 2; taken(name); ++number) {
      name = Concat(wanted, "-", number);
    }
    return name;
  }
  StatusOr<std::shared_ptr<const authz::PolicySet>> Load() const {
    return authz::LoadPolicySet(documents_);
  }

 private:
  std::vector<std::string> documents_;
};

void KeepDeniesOnly(Json& document) {
  Json kept = Json::array();
  for (const Json& rule : document["spec"]["rules"]) {
    if (rule["effect"] == "deny") {
      kept.push_back(rule);
    }
  }
  document["spec"]["rules"] = kept;
}

// Adds the rules under names that the denies leave free; what was on trial is meant from now on.
void TakeRules(const std::vector<SuggestedRule>& rules, Json& document) {
  KeepDeniesOnly(document);
  document["spec"].erase("dryRun");
  document["spec"].erase("unmatched");
  Json& list = document["spec"]["rules"];
  for (const SuggestedRule& rule : rules) {
    Json json = RuleJson(rule);
    auto taken = [&list](const Json& name) {
      return std::ranges::any_of(list, [&](const Json& each) { return each["name"] == name; });
    };
    for (size_t number = 2; taken(json["name"]); ++number) {
      json["name"] = Concat(rule.name, "-", number);
    }
    list.push_back(std::move(json));
  }
}

std::string CanonicalDocument(const authz::PolicySet& set, std::string_view policy) {
  for (const std::string& text : set.canonical_documents) {
    if (IsPolicy(text, policy)) {
      return text;
    }
  }
  return "";
}

Status Replace(const std::shared_ptr<const authz::PolicySet>& set, const PlaceQuestion& question,
               bool is_first, Placed& placed) {
  SetEditor editor(*set);
  std::string name;
  for (const authz::AccessPolicy& policy : set->policies) {
    if (!IsFor(policy, question.workload)) {
      continue;
    }
    if (is_first) {
      is_first = false;
      name = policy.name;
      placed.former = CanonicalDocument(*set, name);
      editor.Change(name, [&](Json& document) { TakeRules(question.rules, document); });
    } else {
      editor.Change(policy.name, [](Json& document) {
        KeepDeniesOnly(document);
        document["spec"].erase("unmatched");
      });
    }
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const authz::PolicySet> changed, editor.Load());
  if (!name.empty()) {
    placed.set = changed->name;
    placed.name = name;
    placed.document = CanonicalDocument(*changed, name);
  }
  placed.sets.push_back(std::move(changed));
  return absl::OkStatus();
}

Status AddNew(const authz::PolicySets& sets, const PlaceQuestion& question, Placed& placed) {
  placed.sets = sets;
  for (auto& set : placed.sets) {
    if (MayGuard(*set, question.workload)) {
      SetEditor editor(*set);
      placed.name = editor.FreeName(question.name);
      editor.Add(DraftDocument(placed.name, question.workload, question.rules));
      ASSIGN_OR_RETURN(set, editor.Load());
      placed.set = set->name;
      placed.document = CanonicalDocument(*set, placed.name);
      return absl::OkStatus();
    }
  }
  return NotFound("no policy set among those given may guard ", question.workload,
                  ": its scope must be wider");
}

}  // namespace

std::string DraftDocument(std::string_view name, std::string_view workload,
                          std::span<const SuggestedRule> rules) {
  Json list = Json::array();
  for (const SuggestedRule& rule : rules) {
    list.push_back(RuleJson(rule));
  }
  return Json{{"apiVersion", kApiVersion},
              {"kind", "AccessPolicy"},
              {"metadata", {{"name", name}}},
              {"spec", {{"appliesTo", {{"id", workload}}}, {"rules", list}}}}
      .dump();
}

StatusOr<authz::PolicySets> LoneSet(const std::string& document, std::string_view workload) {
  std::string set = Json{{"apiVersion", kApiVersion},
                         {"kind", "PolicySet"},
                         {"metadata", {{"name", "suggested"}}},
                         {"spec", {{"owner", {{"id", workload}}}, {"scope", {{"id", workload}}}}}}
                        .dump();
  const std::vector<std::string> documents = {set, document};
  ASSIGN_OR_RETURN(std::shared_ptr<const authz::PolicySet> loaded, authz::LoadPolicySet(documents));
  return authz::PolicySets{std::move(loaded)};
}

StatusOr<Placed> Place(const authz::PolicySets& sets, const PlaceQuestion& question) {
  Placed placed;
  bool found = false;
  for (const auto& set : sets) {
    bool here = std::ranges::any_of(set->policies, [&](const authz::AccessPolicy& policy) {
      return IsFor(policy, question.workload);
    });
    if (here && !set->guardrail) {
      RETURN_IF_ERROR(Replace(set, question, !found, placed));
      found = true;
    } else {
      placed.sets.push_back(set);
    }
  }
  if (!found) {
    RETURN_IF_ERROR(AddNew(sets, question, placed));
  }
  return placed;
}

}  // namespace countersign::audit
