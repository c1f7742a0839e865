// RouteTable finds the route rule of a request. It matches with the policy engine itself, so that a
// condition means the same in a Route as in an AccessPolicy, over the same canonical bytes.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/engine/compiled_policy.h"
#include "authz/kinds/route.h"
#include "authz/model/request.h"
#include "base/clock.h"
#include "base/status.h"
#include "proxy_agent/route/retry_policy.h"
#include "proxy_agent/route/weighted_split.h"

namespace countersign::proxy {

// RouteRule is one compiled rule: what to do with the requests that it matches. Immutable.
struct RouteRule {
  Timeouts timeouts;
  RetryPolicy retry;
  WeightedSplit split;
};

class RouteTable;

// RouteScratch is one thread's working memory for one RouteTable.
class RouteScratch {
 public:
  explicit RouteScratch(const RouteTable& table);

 private:
  friend class RouteTable;
  std::vector<authz::DecisionScratch> of_service_;
};

// RouteMatch is a rule (borrowed from the table), or why there is none.
struct RouteMatch {
  enum class Result : uint8_t {
    kRule,
    kNoRule,     // Routes exist for the service and none matches: 404.
    kAmbiguous,  // A field that a rule names occurs more than once: 400.
    kFault,      // A budget of the matcher: 500.
  };
  Result result = Result::kNoRule;
  const RouteRule* rule = nullptr;
};

// RouteTable is immutable and shared by all workers.
class RouteTable {
 public:
  // Compile refuses two Routes for one service, and what the policy engine refuses.
  static StatusOr<std::shared_ptr<const RouteTable>> Compile(std::span<const authz::Route> routes);

  // Find gives the first rule of the service's Route, in its author's order, whose conditions hold.
  // A service without a Route has a rule of its own: fifteen seconds, and one more try when nothing
  // could be sent. The request's callee must be set, as for judging.
  RouteMatch Find(std::string_view service, const authz::CanonicalRequest& request, WallTime now,
                  RouteScratch& scratch) const;

 private:
  friend class RouteScratch;
  struct ServiceRoutes {
    size_t index = 0;              // In RouteScratch.
    std::vector<RouteRule> rules;  // Never empty.
    bool first_matches_all = false;
    std::shared_ptr<const authz::CompiledPolicy> matcher;
  };
  RouteTable();

  const RouteRule default_rule_;
  std::map<std::string, ServiceRoutes, std::less<>> services_;
};

}  // namespace countersign::proxy
