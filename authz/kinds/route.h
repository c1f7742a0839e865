// Route: how requests to one service are timed, retried and split. Made by the loader.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "authz/model/field.h"

namespace countersign::authz {

// RouteRetry says which failures are tried again. Only idempotent methods are retried.
struct RouteRetry {
  bool connect_failure = false;
  bool refused_stream = false;
  bool reset = false;              // The upstream closed before the first response byte.
  std::vector<uint16_t> statuses;  // 500 to 599, ascending.
  uint32_t tries = 1;              // In all, the first one included; 1 to 5.
  uint32_t budget_percent = 20;    // Retries may be at most this part of recent requests.
};

struct RouteSplit {
  std::string service;
  uint32_t weight = 1;  // 0 to 1000; the sum of a rule is above 0.
};

// RouteRule applies to a request if all conditions hold (path, methods, host, headers); without
// any, to every request.
struct RouteRule {
  std::vector<Condition> match;
  std::chrono::nanoseconds request_timeout = std::chrono::seconds(15);
  std::chrono::nanoseconds try_timeout = std::chrono::nanoseconds(0);  // 0: request_timeout alone.
  RouteRetry retry;
  std::vector<RouteSplit> split;  // Empty: Route::service alone.
  SourcePosition where;
};

// Route holds rules in the author's order: the first that matches applies.
struct Route {
  std::string name;
  std::string service;
  std::vector<RouteRule> rules;  // Never empty.
  std::string canonical_json;
  SourcePosition where;
};

}  // namespace countersign::authz
