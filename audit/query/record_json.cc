#include "audit/query/record_json.h"

#include <arpa/inet.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/crypto/hash.h"

namespace countersign::audit {
namespace {

using Json = nlohmann::ordered_json;

// Values from outside are any bytes: those that are not UTF-8 are replaced when the text is made.
std::string Text(std::string_view value) { return std::string(value); }

void AddUnlessEmpty(Json& out, const char* name, std::string_view value) {
  if (!value.empty()) {
    out[name] = Text(value);
  }
}

void AddUnlessZero(Json& out, const char* name, const std::array<uint8_t, 16>& id) {
  if (id != std::array<uint8_t, 16>{}) {
    out[name] = HexLower(id);
  }
}

Json Policies(std::span<const PolicyVersion> policies) {
  Json list = Json::array();
  for (const PolicyVersion& policy : policies) {
    list.push_back({{"set", Text(policy.set)},
                    {"version", policy.version},
                    {"digest", HexLower(policy.digest)}});
  }
  return list;
}

Json Print(const CompletionRecord& r) {
  Json out = {{"decision_id", DecisionIdText(r.id)}, {"time", FormatTimeNs(r.time_ns)}};
  out["status"] = r.status;
  out["bytes_in"] = r.bytes_in;
  out["bytes_out"] = r.bytes_out;
  out["duration_ns"] = r.duration_ns;
  AddUnlessEmpty(out, "upstream", r.upstream);
  AddUnlessEmpty(out, "cut_reason", r.cut_reason);
  return out;
}

void AddRequest(Json& out, const DecisionRecord& r) {
  out["kind"] = RequestKindName(r.kind);
  out["subject"] = SubjectKindName(r.subject);
  AddUnlessEmpty(out, "caller", r.caller);
  AddUnlessEmpty(out, "caller_serial", r.caller_serial);
  if (r.subject == SubjectKind::kLocalCaller) {
    out["caller_uid"] = r.caller_uid;
  }
  AddUnlessEmpty(out, "callee", r.callee);
  AddUnlessEmpty(out, "peer_ip", FormatPeerIp(r.peer_ip));
  out["port"] = r.port;
  AddUnlessEmpty(out, "sni", r.sni);
  AddUnlessEmpty(out, "method", r.method);
  AddUnlessEmpty(out, "host", r.host);
  AddUnlessEmpty(out, "path", r.path);
  if (!r.headers.empty()) {
    Json list = Json::array();
    for (const authz::NameValue& header : r.headers) {
      list.push_back({{"name", Text(header.name)}, {"value", Text(header.value)}});
    }
    out["headers"] = std::move(list);
  }
}

Json Print(const DecisionRecord& r) {
  Json out = {{"decision_id", DecisionIdText(r.id)}, {"time", FormatTimeNs(r.time_ns)}};
  AddUnlessZero(out, "parent_id", r.parent);
  AddUnlessZero(out, "trace_id", r.trace_id);
  AddUnlessEmpty(out, "node", r.node);
  AddUnlessEmpty(out, "service", r.service);
  AddUnlessEmpty(out, "listener", r.listener);
  out["connection_id"] = r.connection_id;
  AddRequest(out, r);
  out["effect"] = EffectName(r.effect);
  out["reason"] = authz::ReasonName(r.reason);
  out["would_be"] = EffectName(r.would_be);
  AddUnlessEmpty(out, "rule", r.rule);
  Json matched = Json::array();
  for (std::string_view name : r.matched) {
    matched.push_back(Text(name));
  }
  out["matched"] = std::move(matched);
  out["matched_total"] = r.matched_total;
  if (!r.nearest_rule.empty()) {
    Json nearest = {{"rule", Text(r.nearest_rule)}, {"field", authz::FieldName(r.nearest_field)}};
    AddUnlessEmpty(nearest, "key", r.nearest_key);
    out["nearest_miss"] = std::move(nearest);
  }
  out["policies"] = Policies(r.policies);
  return out;
}

Json Print(const GapRecord& r) {
  return {
      {"missing", r.count}, {"first", FormatTimeNs(r.first_ns)}, {"last", FormatTimeNs(r.last_ns)}};
}

Json Print(const EventRecord& r) {
  Json out = {{"event", EventKindName(r.kind)}, {"time", FormatTimeNs(r.time_ns)}};
  AddUnlessEmpty(out, "program", r.program);
  AddUnlessEmpty(out, "node", r.node);
  AddUnlessEmpty(out, "text", r.text);
  if (!r.policies.empty()) {
    out["policies"] = Policies(r.policies);
  }
  return out;
}

constexpr const char* kTypeNames[] = {"decision", "completion", "gap", "event"};

}  // namespace

std::string_view EffectName(authz::Effect effect) {
  return effect == authz::Effect::kAllow ? "allow" : "deny";
}

std::string_view RequestKindName(authz::RequestKind kind) {
  return kind == authz::RequestKind::kHttp ? "http" : "tcp";
}

std::string FormatTimeNs(int64_t time_ns) {
  return FormatTime(WallTime(std::chrono::nanoseconds(time_ns)));
}

std::string FormatPeerIp(const std::optional<authz::IpAddress>& address) {
  if (!address.has_value()) {
    return "";
  }
  static constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const auto& bytes = address->bytes;
  bool is_v4 = std::equal(kMapped.begin(), kMapped.end(), bytes.begin());
  std::array<char, INET6_ADDRSTRLEN> text = {};
  ::inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes.data() + (is_v4 ? kMapped.size() : 0), text.data(),
              text.size());
  return text.data();
}

std::string RecordJson(const LocatedRecord& record, const CompletionRecord* completion) {
  Json out = {{"index", record.index}, {"type", kTypeNames[record.record.value().index()]}};
  AddUnlessZero(out, "ring", record.source.ring);  // Whose it is, says its ring_opened event.
  out.update(std::visit([](const auto& r) { return Print(r); }, record.record.value()));
  if (completion != nullptr) {
    out["completion"] = Print(*completion);
    out["completion"].erase("decision_id");
  }
  return out.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace countersign::audit
