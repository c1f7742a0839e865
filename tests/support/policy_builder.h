// Short words for typed policies and requests in tests of the engine.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "authz/model/policy.h"
#include "authz/model/request.h"

namespace countersign::authz::testing {

inline constexpr std::string_view kOrders = "spiffe://shop.example/ns/prod/sa/orders";
inline constexpr std::string_view kWeb = "spiffe://shop.example/ns/prod/sa/web";
inline constexpr std::string_view kMobile = "spiffe://shop.example/ns/prod/sa/mobile-ios";
inline constexpr std::string_view kPartner = "spiffe://partner.example/ns/prod/sa/web";

inline Matcher M(Matcher::Kind kind, std::string_view text = {}) {
  Matcher matcher;
  matcher.kind = kind;
  matcher.text = text;
  return matcher;
}
inline Matcher Is(std::string_view text) { return M(Matcher::Kind::kExact, text); }
inline Matcher Under(std::string_view text) { return M(Matcher::Kind::kUnder, text); }
inline Matcher Prefix(std::string_view text) { return M(Matcher::Kind::kPrefix, text); }
inline Matcher Suffix(std::string_view text) { return M(Matcher::Kind::kSuffix, text); }
inline Matcher Re2(std::string_view text) { return M(Matcher::Kind::kRe2, text); }
inline Matcher Template(std::string_view text) { return M(Matcher::Kind::kTemplate, text); }
inline Matcher Present() { return M(Matcher::Kind::kPresent); }
inline Matcher Absent() { return M(Matcher::Kind::kAbsent); }
inline Matcher Port(uint16_t port) {
  Matcher matcher = M(Matcher::Kind::kPort);
  matcher.port = port;
  return matcher;
}

inline IpAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
}
inline Matcher Cidr(IpAddress address, uint8_t ipv4_prefix) {
  Matcher matcher = M(Matcher::Kind::kIp);
  matcher.range = {address.bytes, static_cast<uint8_t>(96 + ipv4_prefix)};
  return matcher;
}

inline Condition On(Field field, std::vector<Matcher> any_of) {
  Condition condition;
  condition.field = field;
  condition.any_of = std::move(any_of);
  return condition;
}
inline Condition On(Field field, Matcher matcher) {
  return On(field, std::vector<Matcher>{std::move(matcher)});
}
inline Condition Keyed(Field field, std::string_view key, std::vector<Matcher> any_of) {
  Condition condition = On(field, std::move(any_of));
  condition.key = key;
  return condition;
}
inline Condition Many(Condition condition) {
  condition.many = true;
  return condition;
}

inline Entry E(std::vector<Condition> all_of, std::vector<std::vector<Condition>> except = {}) {
  Entry entry;
  entry.all_of = std::move(all_of);
  entry.except = std::move(except);
  return entry;
}
inline Entry Id(Matcher matcher) { return E({On(Field::kId, std::move(matcher))}); }
inline Entry Path(Matcher matcher) { return E({On(Field::kPath, std::move(matcher))}); }

inline Rule R(std::string_view name, Effect effect, std::vector<Entry> from,
              std::vector<Entry> to = {}, std::vector<Condition> when = {}) {
  Rule rule;
  rule.name = name;
  rule.effect = effect;
  rule.subject = Subject::kEntries;
  rule.from = std::move(from);
  rule.to = std::move(to);
  rule.when = std::move(when);
  return rule;
}
inline Rule R(std::string_view name, Effect effect, Subject subject, std::vector<Entry> to = {},
              std::vector<Condition> when = {}) {
  Rule rule = R(name, effect, std::vector<Entry>(), std::move(to), std::move(when));
  rule.subject = subject;
  return rule;
}

inline AccessPolicy P(std::string_view name, std::vector<Rule> rules) {
  AccessPolicy policy;
  policy.name = name;
  policy.applies_to_all = true;
  policy.rules = std::move(rules);
  return policy;
}

inline PolicySet S(std::string_view name, std::vector<AccessPolicy> policies) {
  PolicySet set;
  set.name = name;
  set.scope = Under("spiffe://shop.example");
  set.policies = std::move(policies);
  set.digest = std::string(64, 'a');
  return set;
}

// One set of one policy that guards every workload of shop.example.
inline std::vector<std::shared_ptr<const PolicySet>> Sets(std::vector<PolicySet> sets) {
  std::vector<std::shared_ptr<const PolicySet>> shared;
  for (PolicySet& set : sets) {
    shared.push_back(std::make_shared<const PolicySet>(std::move(set)));
  }
  return shared;
}
inline std::vector<std::shared_ptr<const PolicySet>> OneSet(std::vector<Rule> rules) {
  return Sets({S("shop", {P("orders", std::move(rules))})});
}

// `web` gets /orders/7 of `orders`.
inline CanonicalRequest Get(std::string_view path = "/orders/7", std::string_view caller = kWeb) {
  CanonicalRequest request;
  request.kind = RequestKind::kHttp;
  request.callee = kOrders;
  request.caller = caller;
  request.peer_ip = V4(10, 1, 2, 3);
  request.port = 8443;
  request.sni = "orders";
  request.method = "GET";
  request.path = path;
  request.host = "orders.shop.internal";
  return request;
}
inline CanonicalRequest Tcp(std::string_view caller = kWeb) {
  CanonicalRequest request = Get("", caller);
  request.kind = RequestKind::kTcp;
  request.method = request.host = {};
  return request;
}

}  // namespace countersign::authz::testing
