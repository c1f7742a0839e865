#include "identity/server/node_view.h"

#include <algorithm>
#include <set>

namespace countersign::server {
namespace {

using Ids = std::set<std::string, std::less<>>;

bool AnyIdMatches(const std::vector<authz::Matcher>& matchers, const Ids& ids) {
  return std::any_of(matchers.begin(), matchers.end(), [&](const authz::Matcher& matcher) {
    return std::any_of(ids.begin(), ids.end(),
                       [&](const std::string& id) { return MayMatchId(matcher, id); });
  });
}

bool ServiceConcerns(const authz::Service& service, const Ids& ids) {
  return ids.contains(service.workload_id) ||
         std::any_of(
             service.reach.begin(), service.reach.end(),
             [&](const authz::ServiceReach& reach) { return AnyIdMatches(reach.from, ids); });
}

bool SetConcerns(const authz::PolicySet& set, const Ids& ids) {
  return !ids.empty() && (set.guardrail || AnyIdMatches({set.scope}, ids));
}

template <class T>
void Put(NodeView& view, std::string_view kind, const std::string& name,
         const std::shared_ptr<const Typed<T>>& item) {
  view[{kind, name}] = {item->revision, item, &item->document, nullptr};
}

// A route of a visible service makes the services visible that it splits to, whose routes are
// their own callers' business.
void PutRoutes(const RegistryState& state, NodeView& view) {
  for (const auto& [name, route] : state.routes) {
    if (!view.contains({kServiceKind, route->value.service})) {
      continue;
    }
    Put(view, kRouteKind, name, route);
    for (const authz::RouteRule& rule : route->value.rules) {
      for (const authz::RouteSplit& split : rule.split) {
        auto found = state.services.find(split.service);
        if (found != state.services.end()) {
          Put(view, kServiceKind, split.service, found->second);
        }
      }
    }
  }
}

}  // namespace

bool MayMatchId(const authz::Matcher& matcher, std::string_view id) {
  using Kind = authz::Matcher::Kind;
  switch (matcher.kind) {
    case Kind::kExact:
      return id == matcher.text;
    case Kind::kUnder:
      return id == matcher.text ||
             (id.starts_with(matcher.text) &&
              (matcher.text.ends_with('/') || id.substr(matcher.text.size()).starts_with('/')));
    case Kind::kPrefix:
      return id.starts_with(matcher.text);
    case Kind::kSuffix:
      return id.ends_with(matcher.text);
    case Kind::kAbsent:
      return false;
    case Kind::kRe2:
    case Kind::kPresent:
    case Kind::kTemplate:
    case Kind::kIp:
    case Kind::kPort:
      return true;
  }
  return true;
}

NodeView ViewForNode(const RegistryState& state, std::string_view agent_id) {
  NodeView view;
  Ids ids;
  for (const auto& [name, registration] : state.registrations) {
    const std::vector<std::string>& nodes = registration->value.nodes;
    if (std::find(nodes.begin(), nodes.end(), agent_id) != nodes.end()) {
      Put(view, kRegistrationKind, name, registration);
      ids.insert(registration->value.id);
    }
  }
  for (const auto& [name, service] : state.services) {
    if (ServiceConcerns(service->value, ids)) {
      Put(view, kServiceKind, name, service);
    }
  }
  PutRoutes(state, view);
  for (const auto& [name, set] : state.sets) {
    if (SetConcerns(*set->policy, ids)) {
      view[{kPolicySetVersionKind, name}] = {set->revision, set, nullptr, &set->version};
    }
  }
  for (const auto& [name, bundle] : state.bundles) {
    Put(view, kTrustBundleKind, name, bundle);
  }
  return view;
}

ViewChange CompareViews(const NodeView& former, const NodeView& next) {
  ViewChange change;
  for (auto item = next.begin(); item != next.end(); ++item) {
    auto old = former.find(item->first);
    if (old == former.end() || old->second.revision != item->second.revision) {
      change.upsert.push_back(item);
    }
  }
  for (auto item = former.begin(); item != former.end(); ++item) {
    if (!next.contains(item->first)) {
      change.remove.push_back(item);
    }
  }
  return change;
}

}  // namespace countersign::server
