// Router: one worker's memory of routes and endpoints: who is next, who does not answer, how much
// may be tried again.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <unordered_map>

#include "proxy_agent/configuration.h"
#include "proxy_agent/door.h"
#include "proxy_agent/route/balancer.h"
#include "proxy_agent/route/retry_budget.h"
#include "proxy_agent/route/route_table.h"

namespace countersign::proxy {

// Router belongs to one worker.
class Router {
 public:
  Router() : random_(std::random_device()()) {}

  // Use takes a new configuration; what is known of endpoints that stay is kept.
  void Use(std::shared_ptr<const Configuration> configuration);

  // Match is the rule for an outbound request; the rule lives as long as the configuration.
  RouteMatch Match(const Door& door, const authz::CanonicalRequest& request, WallTime now);
  // PickCluster draws by the rule's weights.
  const Cluster& PickCluster(const Door& door, const RouteRule& rule);
  // Next is the endpoint for one more try, or nothing if there are none.
  std::optional<size_t> Next(const Cluster& cluster, MonotonicTime now,
                             std::span<const size_t> tried);
  void OnFailure(const Cluster& cluster, size_t endpoint, MonotonicTime now);
  void OnSuccess(const Cluster& cluster, size_t endpoint);

  // Each service has a budget for each rule, also for the rule that services without a Route share:
  // what one of them spends is no other's.
  void OnRequest(const Door& door, const RouteRule& rule, MonotonicTime now);
  // TryRetry refuses for a rule of an older configuration.
  bool TryRetry(const RouteTable* table, const Door& door, const RouteRule& rule,
                MonotonicTime now);
  const std::shared_ptr<const RouteTable>& routes() const { return configuration_->routes(); }

 private:
  // BalancerOf is null for a cluster of an older configuration, whose last requests still run.
  EndpointBalancer* BalancerOf(const Cluster& cluster);
  void TakeClusters();
  RetryBudget& BudgetOf(const Door& door, const RouteRule& rule);

  std::shared_ptr<const Configuration> configuration_;
  std::optional<RouteScratch> scratch_;
  std::map<std::string, EndpointBalancer, std::less<>> balancers_;    // By service/port.
  std::unordered_map<const Cluster*, EndpointBalancer*> by_cluster_;  // Of the configuration.
  std::map<std::pair<std::string_view, const RouteRule*>, RetryBudget> budgets_;
  std::set<std::string, std::less<>> service_names_;  // What budgets_ points into.
  std::mt19937_64 random_;
};

}  // namespace countersign::proxy
