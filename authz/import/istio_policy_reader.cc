#include "authz/import/istio_policy_reader.h"

#include <algorithm>

#include "authz/kinds/nearest_word.h"
#include "base/status.h"

namespace countersign::authz::import {
namespace {

using yaml::Node;

constexpr std::string_view kNoClaims =
    "claims need a TokenIssuer, which this version does not have: keep this rule in a layer that "
    "verifies tokens";
constexpr std::string_view kNoForwardedAddress =
    "an address that a header or a PROXY line reports is not judged here: use ipBlocks (the "
    "address that the connection comes from)";

// Reads `key` and its negation.
Choice ReadChoice(const Node& map, std::string_view key, std::string_view not_key,
                  NodeReader& reader) {
  return {reader.TextsOf(map, key), reader.TextsOf(map, not_key)};
}

void Refuse(const Node& map, std::string_view key, std::string_view why, NodeReader& reader) {
  for (const yaml::Member& member : map.members) {
    if (member.key == key) {
      reader.Error(member.where, Concat(key, " cannot be imported: ", why));
    }
  }
}

// The map of the only key of one entry of `from` or `to`, which must not be empty.
const Node* OnlyMap(const Node& entry, std::string_view list, std::string_view key,
                    NodeReader& reader) {
  std::string_view known[] = {key};
  if (!reader.Keys(entry, list, known)) {
    return nullptr;
  }
  const Node* inner = entry.Find(key);
  if (inner == nullptr || inner->kind != Node::Kind::kMap || inner->members.empty()) {
    reader.Error(entry.where, Concat("an entry of ", list, " needs a ", key,
                                     " that is not empty; leave ", list, " out to mean any"));
    return nullptr;
  }
  return inner;
}

// Validation of Istio: serviceAccounts stand alone.
void CheckSource(const Source& source, NodeReader& reader) {
  bool accounts = !source.service_accounts.empty();
  if (accounts && !(source.principals.empty() && source.namespaces.empty())) {
    reader.findings().Error(source.where,
                            "serviceAccounts may not stand beside principals or namespaces");
  }
}

void ReadSource(const Node& entry, NodeReader& reader, IstioRule& rule) {
  constexpr std::string_view kKeys[] = {
      "principals",        "notPrincipals",       "namespaces",     "notNamespaces",
      "serviceAccounts",   "notServiceAccounts",  "trustDomains",   "notTrustDomains",
      "ipBlocks",          "notIpBlocks",         "remoteIpBlocks", "notRemoteIpBlocks",
      "requestPrincipals", "notRequestPrincipals"};
  const Node* node = OnlyMap(entry, "from", "source", reader);
  if (node == nullptr || !reader.Keys(*node, "source", kKeys)) {
    return;
  }
  for (std::string_view key : {"requestPrincipals", "notRequestPrincipals"}) {
    Refuse(*node, key, kNoClaims, reader);
  }
  for (std::string_view key : {"remoteIpBlocks", "notRemoteIpBlocks"}) {
    Refuse(*node, key, kNoForwardedAddress, reader);
  }
  Source source;
  source.where = reader.At(node->where);
  source.principals = ReadChoice(*node, "principals", "notPrincipals", reader);
  source.namespaces = ReadChoice(*node, "namespaces", "notNamespaces", reader);
  source.service_accounts = ReadChoice(*node, "serviceAccounts", "notServiceAccounts", reader);
  source.trust_domains = ReadChoice(*node, "trustDomains", "notTrustDomains", reader);
  source.ip_blocks = ReadChoice(*node, "ipBlocks", "notIpBlocks", reader);
  CheckSource(source, reader);
  rule.from.push_back(std::move(source));
}

void ReadOperation(const Node& entry, NodeReader& reader, IstioRule& rule) {
  constexpr std::string_view kKeys[] = {"hosts", "notHosts", "methods", "notMethods",
                                        "paths", "notPaths", "ports",   "notPorts"};
  const Node* node = OnlyMap(entry, "to", "operation", reader);
  if (node == nullptr || !reader.Keys(*node, "operation", kKeys)) {
    return;
  }
  Operation operation;
  operation.where = reader.At(node->where);
  operation.hosts = ReadChoice(*node, "hosts", "notHosts", reader);
  operation.methods = ReadChoice(*node, "methods", "notMethods", reader);
  operation.paths = ReadChoice(*node, "paths", "notPaths", reader);
  operation.ports = ReadChoice(*node, "ports", "notPorts", reader);
  rule.to.push_back(std::move(operation));
}

// Why a key of `when` cannot be carried over; empty: it can.
std::string_view RefusalOf(std::string_view key) {
  if (key.starts_with("request.auth.")) {
    return kNoClaims;
  }
  if (key == "remote.ip") {
    return kNoForwardedAddress;
  }
  if (key == "destination.ip") {
    return "the address that the caller reached is not judged here: name the workload with the "
           "selector, or its port";
  }
  if (key.starts_with("experimental.")) {
    return "metadata of other filters is not judged here";
  }
  return {};
}

void ReadWhen(const Node& entry, NodeReader& reader, IstioRule& rule) {
  constexpr std::string_view kKeys[] = {"key", "values", "notValues"};
  constexpr std::string_view kConditions[] = {
      "source.ip",          "source.namespace", "source.principal",      "source.serviceAccount",
      "source.trustDomain", "remote.ip",        "destination.ip",        "destination.port",
      "connection.sni",     "request.headers",  "request.auth.principal"};
  if (!reader.Keys(entry, "when", kKeys)) {
    return;
  }
  WhenItem item;
  item.where = reader.At(entry.where);
  item.key = reader.TextOf(entry, "key");
  item.choice = ReadChoice(entry, "values", "notValues", reader);
  if (item.choice.empty()) {
    reader.Error(entry.where, "a condition needs values or notValues");
  }
  std::string_view refusal = RefusalOf(item.key);
  bool header = item.key.starts_with("request.headers[") && item.key.ends_with(']');
  if (!refusal.empty()) {
    reader.Error(entry.where, Concat(item.key, " cannot be imported: ", refusal));
  } else if (!header && (std::ranges::find(kConditions, item.key) == std::end(kConditions) ||
                         item.key == "request.headers")) {
    // Istio logs such a rule and goes on without it, a DENY too. Here the file is refused.
    reader.Error(
        entry.where,
        Concat("unknown key ", Quoted(item.key), " in when", DidYouMean(item.key, kConditions),
               ": Istio ignores the whole rule, which opens what a DENY should close"));
  } else {
    rule.when.push_back(std::move(item));
  }
}

// Reads each entry of the list at `key`; present and empty is refused, as Istio does.
template <class Visit>
void ReadList(const Node& rule, std::string_view key, NodeReader& reader, Visit visit) {
  const Node* list = rule.Find(key);
  if (list == nullptr || list->kind == Node::Kind::kNull) {
    return;
  }
  if (list->kind != Node::Kind::kSequence || list->items.empty()) {
    reader.Error(list->where,
                 Concat(key, " must be a list that is not empty; leave it out to mean ", "any"));
    return;
  }
  for (const Node& entry : list->items) {
    visit(entry);
  }
}

void ReadRules(const Node& rules, NodeReader& reader, IstioPolicy& policy) {
  constexpr std::string_view kKeys[] = {"from", "to", "when"};
  if (rules.kind == Node::Kind::kNull) {
    return;
  }
  if (rules.kind != Node::Kind::kSequence) {
    reader.Error(rules.where, Concat("rules must be a list, not ", KindName(rules.kind)));
    return;
  }
  for (const Node& node : rules.items) {
    IstioRule rule;
    rule.where = reader.At(node.where);
    if (!reader.Keys(node, "a rule", kKeys)) {
      continue;
    }
    ReadList(node, "from", reader, [&](const Node& entry) { ReadSource(entry, reader, rule); });
    ReadList(node, "to", reader, [&](const Node& entry) { ReadOperation(entry, reader, rule); });
    ReadList(node, "when", reader, [&](const Node& entry) { ReadWhen(entry, reader, rule); });
    policy.rules.push_back(std::move(rule));
  }
}

void ReadAction(const Node& spec, NodeReader& reader, IstioPolicy& policy) {
  constexpr std::string_view kActions[] = {"ALLOW", "DENY", "AUDIT", "CUSTOM"};
  std::string action = reader.TextOf(spec, "action");
  if (action.empty() || action == "ALLOW") {
    policy.action = IstioPolicy::Action::kAllow;
  } else if (action == "DENY") {
    policy.action = IstioPolicy::Action::kDeny;
  } else if (action == "AUDIT") {
    policy.action = IstioPolicy::Action::kAudit;
  } else if (action == "CUSTOM") {
    reader.Error(
        spec.where,
        "action CUSTOM asks a program outside the mesh, whose answers no file shows: write "
        "what it decides as rules");
  } else {
    reader.Error(spec.where,
                 Concat("unknown action ", Quoted(action), DidYouMean(action, kActions)));
  }
}

// strconv.ParseBool: what it does not know counts as false, so the policy is enforced.
bool IsTrue(std::string_view text) {
  constexpr std::string_view kTrue[] = {"1", "t", "T", "true", "TRUE", "True"};
  return std::ranges::find(kTrue, text) != std::end(kTrue);
}

bool IsDryRun(const Node& root, NodeReader& reader) {
  const Node* metadata = root.Find("metadata");
  const Node* annotations = metadata != nullptr && metadata->kind == Node::Kind::kMap
                                ? metadata->Find("annotations")
                                : nullptr;
  return annotations != nullptr && annotations->kind == Node::Kind::kMap &&
         IsTrue(reader.TextOf(*annotations, "istio.io/dry-run"));
}

}  // namespace

void ReadPolicy(const Node& root, NodeReader& reader, IstioPolicy& policy) {
  constexpr std::string_view kKeys[] = {"action",   "rules",     "selector",
                                        "provider", "targetRef", "targetRefs"};
  policy.dry_run = IsDryRun(root, reader);
  const Node* spec = root.Find("spec");
  if (spec == nullptr || spec->kind == Node::Kind::kNull) {
    return;  // An ALLOW that allows nothing.
  }
  if (!reader.Keys(*spec, "spec", kKeys)) {
    return;
  }
  ReadAction(*spec, reader, policy);
  for (std::string_view key : {"targetRef", "targetRefs"}) {
    Refuse(*spec, key,
           "gateways and waypoints have no place here: name the workloads with a selector", reader);
  }
  if (const Node* selector = spec->Find("selector");
      selector != nullptr && selector->kind != Node::Kind::kNull) {
    constexpr std::string_view kSelectorKeys[] = {"matchLabels"};
    if (reader.Keys(*selector, "selector", kSelectorKeys)) {
      policy.selector = reader.LabelsOf(selector->Find("matchLabels"), "matchLabels");
    }
  }
  if (const Node* rules = spec->Find("rules"); rules != nullptr) {
    ReadRules(*rules, reader, policy);
  }
  if (policy.action == IstioPolicy::Action::kDeny && policy.rules.empty()) {
    reader.Error(root.where, "a DENY without rules never denies, and Istio refuses it");
  }
}

}  // namespace countersign::authz::import
