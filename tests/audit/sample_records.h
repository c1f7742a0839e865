// Records that the audit tests share.
#pragma once

#include <array>
#include <string_view>

#include "audit/record/decision_record.h"

namespace countersign::audit {

inline DecisionId SampleId(uint8_t n) {
  DecisionId id = {};
  id.fill(n);
  id[0] = 0xd0;
  return id;
}

// SampleDecision is a denied DELETE with every field set.
struct SampleDecision {
  std::array<std::string_view, 2> matched = {"shop/orders/nobody-purges", "base/deny/all"};
  std::array<authz::NameValue, 1> headers = {{{"x-tenant", "acme"}}};
  std::array<PolicyVersion, 1> policies = {{{"shop", 3, {}}}};
  DecisionRecord record;

  explicit SampleDecision(uint8_t n = 1) {
    policies[0].digest.fill(0xab);
    record.id = SampleId(n);
    record.parent = SampleId(200);
    record.trace_id.fill(9);
    record.time_ns = 1'790'000'000'000'000'000 + n;
    record.node = "spiffe://shop.example/agent/node-1";
    record.service = "orders";
    record.listener = "http";
    record.connection_id = 77;
    record.kind = authz::RequestKind::kHttp;
    record.subject = SubjectKind::kVerifiedPeer;
    record.caller = "spiffe://shop.example/ns/prod/sa/web";
    record.caller_serial = "00aa11";
    record.callee = "spiffe://shop.example/ns/prod/sa/orders";
    record.peer_ip = authz::IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3}};
    record.port = 8443;
    record.sni = "orders";
    record.method = "DELETE";
    record.host = "orders";
    record.path = "/orders/7";
    record.headers = headers;
    record.effect = authz::Effect::kDeny;
    record.reason = authz::Reason::kNoRuleMatched;
    record.would_be = authz::Effect::kAllow;
    record.rule = "shop/orders/nobody-purges";
    record.matched = matched;
    record.matched_total = 2;
    record.nearest_rule = "shop/orders/storefront-reads";
    record.nearest_field = authz::Field::kMethod;
    record.nearest_key = "k";
    record.policies = policies;
  }
  SampleDecision(const SampleDecision&) = delete;
  SampleDecision& operator=(const SampleDecision&) = delete;
};

}  // namespace countersign::audit
