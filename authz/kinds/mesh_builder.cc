// Registrations, services and routes.
#include <algorithm>

#include "authz/kinds/builders.h"
#include "authz/kinds/nearest_word.h"
#include "base/status.h"
#include "identity/spiffe_id.h"

namespace countersign::authz {
namespace {

std::chrono::nanoseconds DurationOf(const Value* object, std::string_view key) {
  return std::chrono::nanoseconds(object == nullptr ? 0 : object->NumberOf(key).value_or(0));
}

std::vector<std::string> TextsOf(const Value* list) {
  std::vector<std::string> out;
  for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
    out.push_back(list->items[i].text);
  }
  return out;
}

std::optional<uint32_t> UidOf(const Value& object, std::string_view key) {
  std::optional<int64_t> number = object.NumberOf(key);
  return number.has_value() ? std::optional<uint32_t>(static_cast<uint32_t>(*number))
                            : std::nullopt;
}

void CheckIdentity(const Value& id, CheckedDocument& document) {
  StatusOr<identity::SpiffeId> parsed = identity::SpiffeId::Parse(id.text);
  if (!parsed.ok()) {
    return;
  }
  std::string_view path = parsed->path();
  if (path.empty()) {
    document.Error(id.where, "a workload's id needs a path after the trust domain");
  } else if (path == "/server" || path == "/agent" || path.starts_with("/agent/")) {
    document.Error(id.where, Concat(path, " is reserved: it is the system's own identity"));
  }
}

void BuildNodes(const Value& nodes, CheckedDocument& document, Registration& out) {
  for (const Value& node : nodes.items) {
    const Value* id = node.Get("id");
    if (id == nullptr) {
      continue;
    }
    StatusOr<identity::SpiffeId> parsed = identity::SpiffeId::Parse(id->text);
    if (!parsed.ok() || !parsed->path().starts_with("/agent/")) {
      document.Error(id->where, Concat("a node's id is spiffe://TRUST-DOMAIN/agent/NAME, not ",
                                       Quoted(id->text)));
    }
    out.nodes.push_back(id->text);
  }
}

void BuildSelectors(const Value& spec, CheckedDocument& document, Registration& out) {
  const Value* selectors = spec.Get("selectors");
  const Value* unix = selectors == nullptr ? nullptr : selectors->Get("unix");
  if (unix == nullptr) {
    return;
  }
  out.selectors.uid = UidOf(*unix, "uid");
  out.selectors.gid = UidOf(*unix, "gid");
  out.selectors.path = unix->TextOf("path");
  out.selectors.sha256 = unix->TextOf("sha256");
  const Value* proxy = spec.Get("proxy");
  if (proxy == nullptr) {
    return;
  }
  out.proxy.emplace();
  out.proxy->application_uid = UidOf(*proxy, "applicationUid");
  if (out.proxy->application_uid.has_value() && out.proxy->application_uid == out.selectors.uid) {
    document.context->reporter.Warn(
        proxy->where,
        "the application runs under the proxy's own uid: it can fetch the proxy's key "
        "and go around the policy");
  }
}

PortTls TlsOf(std::string_view word) {
  return word == "edge"         ? PortTls::kEdge
         : word == "permissive" ? PortTls::kPermissive
                                : PortTls::kMesh;
}

ServicePort BuildPort(const Value& value, CheckedDocument& document) {
  ServicePort port;
  port.name = value.TextOf("name");
  port.protocol = value.TextOf("protocol") == "tcp" ? PortProtocol::kTcp : PortProtocol::kHttp;
  port.listen = value.TextOf("listen");
  port.application = value.TextOf("application");
  port.tls = TlsOf(value.TextOf("tls"));
  port.allow_in_path = TextsOf(value.Get("allowInPath"));
  port.audit = value.TextOf("audit") == "strict" ? AuditMode::kStrict : AuditMode::kBestEffort;
  port.where = document.context->reporter.Position(value.where);
  if (const Value* probes = value.Get("probes"); probes != nullptr) {
    for (const Value& item : probes->items) {
      ServiceProbe probe{item.TextOf("path"), {}};
      const Value* from = item.Get("from");
      for (size_t i = 0; from != nullptr && i < from->items.size(); ++i) {
        probe.from.push_back(from->items[i].matcher.range);
      }
      port.probes.push_back(std::move(probe));
    }
  }
  for (std::string_view key : {"probes", "allowInPath"}) {
    if (const Value* field = value.Get(key);
        field != nullptr && port.protocol == PortProtocol::kTcp) {
      document.Error(field->where, Concat(key, " is for http ports only"));
    }
  }
  return port;
}

// The port that a reference names; without a name the only one.
std::string ResolvePort(const Value& value, const Service& service, CheckedDocument& document) {
  const Value* name = value.Get("port");
  if (name == nullptr) {
    if (service.ports.size() != 1 && !document.broken) {
      document.Error(value.where, "the service has several ports: say {port: NAME, address: ...}");
    }
    return service.ports.empty() ? "" : service.ports.front().name;
  }
  if (service.FindPort(name->text) == nullptr && !document.broken) {
    std::vector<std::string_view> known;
    for (const ServicePort& port : service.ports) {
      known.push_back(port.name);
    }
    document.Error(name->where, Concat("the service has no port ", Quoted(name->text),
                                       DidYouMean(name->text, known)));
  }
  return name->text;
}

RouteRetry BuildRetry(const Value& value) {
  RouteRetry retry;
  for (const std::string& word : TextsOf(value.Get("on"))) {
    if (word == "connect-failure") {
      retry.connect_failure = true;
    } else if (word == "refused-stream") {
      retry.refused_stream = true;
    } else if (word == "reset") {
      retry.reset = true;
    } else {
      retry.statuses.push_back(static_cast<uint16_t>(std::stoi(word)));
    }
  }
  retry.tries = static_cast<uint32_t>(value.NumberOf("tries").value_or(1));
  retry.budget_percent = static_cast<uint32_t>(value.NumberOf("budget").value_or(0));
  return retry;
}

void BuildSplit(const Value& split, CheckedDocument& document, RouteRule& rule) {
  uint32_t sum = 0;
  for (const Value& part : split.items) {
    auto weight = static_cast<uint32_t>(part.NumberOf("weight").value_or(0));
    std::string service = part.TextOf("service");
    bool twice = std::ranges::find(rule.split, service, &RouteSplit::service) != rule.split.end();
    if (twice) {
      document.Error(part.where, Concat("service ", Quoted(service), " occurs twice in the split"));
    }
    sum += weight;
    rule.split.push_back({std::move(service), weight});
  }
  if (sum == 0 && !document.broken) {
    document.Error(split.where, "the weights of a split must not all be 0");
  }
}

RouteRule BuildRouteRule(const Value& value, CheckedDocument& document) {
  RouteRule rule;
  rule.where = document.context->reporter.Position(value.where);
  if (const Value* match = value.Get("match"); match != nullptr) {
    for (const auto& [key, member] : match->members) {
      if (key != "headers") {
        rule.match.push_back(BuildCondition(member, "", document));
        continue;
      }
      for (const auto& [name, header] : member.members) {
        rule.match.push_back(BuildCondition(header, name, document));
      }
    }
  }
  const Value* timeout = value.Get("timeout");
  rule.request_timeout = DurationOf(timeout, "request");
  rule.try_timeout = DurationOf(timeout, "try");
  if (rule.try_timeout > rule.request_timeout) {
    document.Error(timeout->where, "the time for one try is longer than that for the request");
  }
  if (const Value* retry = value.Get("retry"); retry != nullptr) {
    rule.retry = BuildRetry(*retry);
  }
  if (const Value* split = value.Get("split"); split != nullptr) {
    BuildSplit(*split, document, rule);
  }
  return rule;
}

}  // namespace

std::string_view PortProtocolName(PortProtocol protocol) {
  return protocol == PortProtocol::kTcp ? "tcp" : "http";
}
std::string_view PortTlsName(PortTls tls) {
  return tls == PortTls::kEdge ? "edge" : tls == PortTls::kPermissive ? "permissive" : "mesh";
}
std::string_view AuditModeName(AuditMode mode) {
  return mode == AuditMode::kStrict ? "strict" : "best-effort";
}

const ServicePort* Service::FindPort(std::string_view port_name) const {
  auto found = std::ranges::find(ports, port_name, &ServicePort::name);
  return found == ports.end() ? nullptr : &*found;
}

Registration BuildRegistration(CheckedDocument& document) {
  const Value& spec = document.spec;
  Registration out;
  out.name = document.name;
  out.where = document.Position();
  out.canonical_json = document.CanonicalJson();
  if (const Value* id = spec.Get("id"); id != nullptr) {
    out.id = id->text;
    CheckIdentity(*id, document);
  }
  if (const Value* nodes = spec.Get("nodes"); nodes != nullptr) {
    BuildNodes(*nodes, document, out);
  }
  BuildSelectors(spec, document, out);
  if (const Value* labels = spec.Get("labels"); labels != nullptr) {
    for (const auto& [name, label] : labels->members) {
      out.labels[name] = label.text;
    }
  }
  if (const Value* svid = spec.Get("svid"); svid != nullptr) {
    out.svid_ttl = DurationOf(svid, "ttl");
    out.key_type = svid->TextOf("keyType");
    out.dns_names = TextsOf(svid->Get("dnsNames"));
    out.hint = svid->TextOf("hint");
  }
  if (const Value* jwt = spec.Get("jwt"); jwt != nullptr) {
    out.jwt_ttl = DurationOf(jwt, "ttl");
    out.jwt_audiences = TextsOf(jwt->Get("audiences"));
  }
  if (const Value* others = spec.Get("federatesWith");
      others != nullptr && !others->items.empty()) {
    document.Error(others->where, "federation is not in this version: federatesWith must be empty");
  }
  return out;
}

Service BuildService(CheckedDocument& document) {
  const Value& spec = document.spec;
  Service out;
  out.name = document.name;
  out.where = document.Position();
  out.canonical_json = document.CanonicalJson();
  if (const Value* workload = spec.Get("workload"); workload != nullptr) {
    out.workload_id = workload->TextOf("id");
  }
  const Value* ports = spec.Get("ports");
  for (size_t i = 0; ports != nullptr && i < ports->items.size(); ++i) {
    out.ports.push_back(BuildPort(ports->items[i], document));
  }
  const Value* endpoints = spec.Get("endpoints");
  for (size_t i = 0; endpoints != nullptr && i < endpoints->items.size(); ++i) {
    const Value& item = endpoints->items[i];
    const Value* dns = item.Get("dns");
    const Value* address = item.Get("address");
    if ((dns == nullptr) == (address == nullptr) && !document.broken) {
      document.Error(item.where, "an endpoint has either address or dns");
    }
    out.endpoints.push_back({ResolvePort(item, out, document),
                             dns != nullptr ? dns->text : item.TextOf("address"), dns != nullptr});
  }
  const Value* reach = spec.Get("reach");
  for (size_t i = 0; reach != nullptr && i < reach->items.size(); ++i) {
    const Value& item = reach->items[i];
    ServiceReach door;
    door.listen = item.TextOf("listen");
    door.port = ResolvePort(item, out, document);
    door.where = document.context->reporter.Position(item.where);
    const Value* from = item.Get("from");
    for (size_t j = 0; from != nullptr && j < from->items.size(); ++j) {
      door.from.push_back(from->items[j].matcher);
    }
    out.reach.push_back(std::move(door));
  }
  return out;
}

Route BuildRoute(CheckedDocument& document) {
  Route out;
  out.name = document.name;
  out.service = document.spec.TextOf("service");
  out.where = document.Position();
  out.canonical_json = document.CanonicalJson();
  const Value* rules = document.spec.Get("rules");
  for (size_t i = 0; rules != nullptr && i < rules->items.size(); ++i) {
    out.rules.push_back(BuildRouteRule(rules->items[i], document));
  }
  return out;
}

}  // namespace countersign::authz
