#include "sds/agent/proxy_configuration.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace countersign::agent {
namespace {

bool Reaches(const authz::Service& service, std::string_view id) {
  return std::any_of(service.reach.begin(), service.reach.end(), [id](const auto& reach) {
    return std::any_of(reach.from.begin(), reach.from.end(),
                       [id](const authz::Matcher& matcher) { return MayMatch(matcher, id); });
  });
}

// Names of the services that the proxy serves or dials.
std::set<std::string> ServicesOf(const NodeState& state, std::string_view id) {
  std::set<std::string> names;
  for (const auto& [key, resource] : state.resources()) {
    if (resource->service &&
        (resource->service->workload_id == id || Reaches(*resource->service, id))) {
      names.insert(resource->service->name);
    }
  }
  std::set<std::string> with_splits = names;
  for (const auto& [key, resource] : state.resources()) {
    if (!resource->route || !names.contains(resource->route->service)) {
      continue;
    }
    for (const authz::RouteRule& rule : resource->route->rules) {
      for (const authz::RouteSplit& split : rule.split) {
        with_splits.insert(split.service);
      }
    }
  }
  return with_splits;
}

// Kind and name of a canonical document; empty if it is not one.
std::pair<std::string, std::string> KindAndName(const std::string& document) {
  nlohmann::json json = nlohmann::json::parse(document, nullptr, false);
  if (!json.is_object()) {
    return {};
  }
  std::string kind = json.value("kind", "");
  auto metadata = json.find("metadata");
  bool named = metadata != json.end() && metadata->is_object();
  return {std::move(kind), named ? metadata->value("name", "") : ""};
}

bool MayConcern(const authz::PolicySet& set, const authz::AccessPolicy& policy,
                std::string_view id) {
  if (!MayMatch(set.scope, id)) {
    return false;
  }
  return policy.applies_to_all ||
         std::any_of(policy.applies_to.begin(), policy.applies_to.end(),
                     [id](const authz::Matcher& matcher) { return MayMatch(matcher, id); });
}

// The set without the policies of other workloads, its tests and its assertions. Its digest stays
// that of the whole version, by which people know it.
v1::PolicySetVersion CutSet(const NodeResource& resource, std::string_view id) {
  if (!resource.policy_set) {
    return *resource.set_version;
  }
  std::set<std::string> kept;
  for (const authz::AccessPolicy& policy : resource.policy_set->policies) {
    if (MayConcern(*resource.policy_set, policy, id)) {
      kept.insert(policy.name);
    }
  }
  v1::PolicySetVersion cut = *resource.set_version;
  cut.clear_documents();
  for (const std::string& document : resource.set_version->documents()) {
    auto [kind, name] = KindAndName(document);
    bool judges = kind != "PolicyTest" && kind != "PolicyAssertion";
    if (judges && (kind != "AccessPolicy" || kept.contains(name))) {
      cut.add_documents(document);
    }
  }
  return cut;
}

}  // namespace

bool MayMatch(const authz::Matcher& matcher, std::string_view id) {
  std::string_view text = matcher.text;
  switch (matcher.kind) {
    case authz::Matcher::Kind::kExact:
      return id == text;
    case authz::Matcher::Kind::kUnder:
      return id == text ||
             (id.starts_with(text) && (text.ends_with('/') || id[text.size()] == '/'));
    case authz::Matcher::Kind::kPrefix:
      return id.starts_with(text);
    case authz::Matcher::Kind::kSuffix:
      return id.ends_with(text);
    case authz::Matcher::Kind::kAbsent:
      return false;
    default:
      return true;
  }
}

v1::ProxyConfiguration BuildProxyConfiguration(const NodeState& state,
                                               const authz::Registration& registration) {
  v1::ProxyConfiguration configuration;
  configuration.set_workload_id(registration.id);
  configuration.set_registration(registration.name);
  if (registration.proxy && registration.proxy->application_uid) {
    configuration.set_has_application_uid(true);
    configuration.set_application_uid(*registration.proxy->application_uid);
  }
  std::set<std::string> services = ServicesOf(state, registration.id);
  for (const auto& [key, resource] : state.resources()) {
    if (resource->service && services.contains(resource->service->name)) {
      *configuration.add_services() = resource->wire;
    } else if (resource->route && services.contains(resource->route->service)) {
      *configuration.add_routes() = resource->wire;
    } else if (resource->set_version) {
      *configuration.add_policy_sets() = CutSet(*resource, registration.id);
    }
  }
  return configuration;
}

}  // namespace countersign::agent
