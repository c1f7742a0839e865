#include "proxy_agent/router.h"

#include <algorithm>

namespace countersign::proxy {

void Router::Use(std::shared_ptr<const Configuration> configuration) {
  configuration_ = std::move(configuration);
  by_cluster_.clear();
  budgets_.clear();
  service_names_.clear();
  scratch_.reset();
  if (configuration_ != nullptr) {
    scratch_.emplace(*configuration_->routes());
    TakeClusters();
  }
}

void Router::TakeClusters() {
  std::map<std::string, EndpointBalancer, std::less<>> next;
  for (const std::shared_ptr<const Door>& door : configuration_->doors()) {
    for (const Cluster& cluster : door->clusters) {
      std::vector<std::string> addresses;
      for (const Endpoint& endpoint : cluster.endpoints) {
        addresses.push_back(endpoint.address.text());
      }
      const std::string key = Concat(cluster.service, "/", door->name);
      auto known = balancers_.extract(key);
      if (!known.empty()) {
        known.mapped().Update(std::move(addresses));
        next.insert(std::move(known));
      } else {
        next.try_emplace(key, std::move(addresses));
      }
      by_cluster_.emplace(&cluster, &next.find(key)->second);
    }
  }
  balancers_ = std::move(next);
}

RouteMatch Router::Match(const Door& door, const authz::CanonicalRequest& request, WallTime now) {
  return configuration_->routes()->Find(door.service, request, now, *scratch_);
}

const Cluster& Router::PickCluster(const Door& door, const RouteRule& rule) {
  const std::string& service = rule.split.Pick(random_());
  const auto found = std::find_if(door.clusters.begin(), door.clusters.end(),
                                  [&](const Cluster& c) { return c.service == service; });
  return found == door.clusters.end() ? door.clusters.front() : *found;
}

EndpointBalancer* Router::BalancerOf(const Cluster& cluster) {
  const auto found = by_cluster_.find(&cluster);
  return found == by_cluster_.end() ? nullptr : found->second;
}

std::optional<size_t> Router::Next(const Cluster& cluster, MonotonicTime now,
                                   std::span<const size_t> tried) {
  if (EndpointBalancer* balancer = BalancerOf(cluster)) {
    return balancer->Next(now, tried);
  }
  if (cluster.endpoints.empty()) {
    return std::nullopt;
  }
  return tried.size() % cluster.endpoints.size();
}

void Router::OnFailure(const Cluster& cluster, size_t endpoint, MonotonicTime now) {
  if (EndpointBalancer* balancer = BalancerOf(cluster)) {
    balancer->OnFailure(endpoint, now);
  }
}

void Router::OnSuccess(const Cluster& cluster, size_t endpoint) {
  if (EndpointBalancer* balancer = BalancerOf(cluster)) {
    balancer->OnSuccess(endpoint);
  }
}

RetryBudget& Router::BudgetOf(const Door& door, const RouteRule& rule) {
  const auto found = budgets_.find({door.service, &rule});
  if (found != budgets_.end()) {
    return found->second;
  }
  return budgets_
      .try_emplace({*service_names_.insert(door.service).first, &rule},
                   RetryBudgetLimits{.percent = rule.retry.budget_percent()})
      .first->second;
}

void Router::OnRequest(const Door& door, const RouteRule& rule, MonotonicTime now) {
  BudgetOf(door, rule).OnRequest(now);
}

bool Router::TryRetry(const RouteTable* table, const Door& door, const RouteRule& rule,
                      MonotonicTime now) {
  return table == configuration_->routes().get() && BudgetOf(door, rule).TryRetry(now);
}

}  // namespace countersign::proxy
