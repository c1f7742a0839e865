#include "proxy_agent/route/route_table.h"

#include <utility>

namespace countersign::proxy {
namespace {

RouteRule CompileRule(const authz::RouteRule& rule) {
  return {.timeouts = {.request = rule.request_timeout, .attempt = rule.try_timeout},
          .retry = RetryPolicy(rule.retry),
          .split = WeightedSplit(rule.split)};
}

// Connect failures may always be retried: nothing was sent.
authz::RouteRule DefaultRule() {
  authz::RouteRule rule;
  rule.retry.connect_failure = true;
  rule.retry.refused_stream = true;
  rule.retry.tries = 2;
  return rule;
}

// AsPolicy makes the Route's conditions rules of a policy that allows, numbered as in the Route:
// the first that matches is then the lowest of all that matched.
authz::PolicySets AsPolicy(const authz::Route& route) {
  auto set = std::make_shared<authz::PolicySet>();
  set->name = route.name;
  set->scope = {.kind = authz::Matcher::Kind::kPrefix, .text = "spiffe://", .range = {}};
  authz::AccessPolicy& policy = set->policies.emplace_back();
  policy.name = route.name;
  policy.applies_to_all = true;
  policy.where = route.where;
  for (size_t i = 0; i < route.rules.size(); ++i) {
    authz::Rule& rule = policy.rules.emplace_back();
    rule.name = Concat("rule-", i);
    rule.effect = authz::Effect::kAllow;
    rule.subject = authz::Subject::kAnyone;
    rule.when = route.rules[i].match;
    rule.where = route.rules[i].where;
  }
  return {std::move(set)};
}

}  // namespace

RouteScratch::RouteScratch(const RouteTable& table) {
  of_service_.resize(table.services_.size());
  for (const auto& [name, routes] : table.services_) {
    of_service_[routes.index].Fit(*routes.matcher);
  }
}

RouteTable::RouteTable() : default_rule_(CompileRule(DefaultRule())) {}

StatusOr<std::shared_ptr<const RouteTable>> RouteTable::Compile(
    std::span<const authz::Route> routes) {
  std::shared_ptr<RouteTable> table(new RouteTable());
  for (const authz::Route& route : routes) {
    if (route.rules.empty()) {
      return InvalidArgument("route ", Quoted(route.name), " has no rule");
    }
    const auto [at, added] = table->services_.try_emplace(route.service);
    if (!added) {
      return InvalidArgument("route ", Quoted(route.name), ": service ", Quoted(route.service),
                             " has another route; write their rules into one");
    }
    ServiceRoutes& compiled = at->second;
    compiled.index = table->services_.size() - 1;
    compiled.first_matches_all = route.rules.front().match.empty();
    for (const authz::RouteRule& rule : route.rules) {
      compiled.rules.push_back(CompileRule(rule));
    }
    auto matcher = authz::CompiledPolicy::Compile(AsPolicy(route));
    if (!matcher.ok()) {
      return Annotate(matcher.status(), Concat("route ", Quoted(route.name), ": "));
    }
    compiled.matcher = std::move(matcher).value();
  }
  return table;
}

RouteMatch RouteTable::Find(std::string_view service, const authz::CanonicalRequest& request,
                            WallTime now, RouteScratch& scratch) const {
  using Result = RouteMatch::Result;
  const auto at = services_.find(service);
  if (at == services_.end()) {
    return {.result = Result::kRule, .rule = &default_rule_};
  }
  const ServiceRoutes& routes = at->second;
  if (routes.first_matches_all) {
    return {.result = Result::kRule, .rule = &routes.rules.front()};
  }
  const authz::Decision decision =
      routes.matcher->Decide(request, now, scratch.of_service_[routes.index]);
  switch (decision.reason) {
    case authz::Reason::kAllowRule:
      break;
    case authz::Reason::kAmbiguousField:
      return {.result = Result::kAmbiguous, .rule = nullptr};
    case authz::Reason::kNoPolicy:
    case authz::Reason::kNoRuleMatched:
      return {.result = Result::kNoRule, .rule = nullptr};
    default:
      return {.result = Result::kFault, .rule = nullptr};
  }
  if (decision.matched.empty() || decision.matched.front() >= routes.rules.size()) {
    return {.result = Result::kFault, .rule = nullptr};
  }
  return {.result = Result::kRule, .rule = &routes.rules[decision.matched.front()]};
}

}  // namespace countersign::proxy
