// What the admin port says. Names and numbers only: no key, no token, no header.
#include <nlohmann/json.hpp>

#include "proxy_agent/proxy.h"

namespace countersign::proxy {
namespace {

using Json = nlohmann::ordered_json;

Json DoorJson(const ListenerSet::Entry& entry) {
  const Door& door = *entry.door;
  Json json = {{"direction", door.direction == Direction::kInbound ? "inbound" : "outbound"},
               {"service", door.service},
               {"port", door.name},
               {"protocol", authz::PortProtocolName(door.protocol)},
               {"listen", entry.listener->address().text()},
               {"origin", ListenerOriginName(entry.listener->origin())},
               {"callee", door.callee.str()}};
  if (door.direction == Direction::kInbound) {
    json["tls"] = authz::PortTlsName(door.tls);
    json["application"] = door.application->text();
    json["audit"] = door.durability == audit::Durability::kStrict ? "strict" : "best-effort";
  } else {
    Json endpoints = Json::array();
    for (const Cluster& cluster : door.clusters) {
      for (const Endpoint& endpoint : cluster.endpoints) {
        endpoints.push_back({{"service", cluster.service},
                             {"address", endpoint.address.text()},
                             {"peer", endpoint.peer.str()}});
      }
    }
    json["endpoints"] = std::move(endpoints);
  }
  return json;
}

}  // namespace

AdminAnswer Proxy::Admin(std::string_view path) const {
  if (path == "/metrics") {
    return AdminMetrics();
  }
  if (path == "/config") {
    return AdminConfig();
  }
  if (path == "/ready") {
    const bool ready = Ready();
    return {.status = ready ? 200 : 503, .body = ready ? "ready\n" : "not ready\n"};
  }
  return {.status = 404, .body = "/metrics, /ready or /config\n"};
}

AdminAnswer Proxy::AdminMetrics() const {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<const Snapshot> snapshot = snapshots_.Get();
  MetricsFacts facts;
  facts.ready = snapshot->MayServe(clock_.Now());
  if (snapshot->identity != nullptr) {
    const identity::X509Svid& svid = snapshot->identity->svid();
    facts.svid_serial = svid.serial();
    facts.svid_not_after =
        std::chrono::duration<double>(svid.not_after().time_since_epoch()).count();
  }
  if (snapshot->configuration != nullptr) {
    facts.policy_digest = snapshot->configuration->policy()->digest();
    facts.config_version = snapshot->configuration->version();
  }
  facts.config_refused = config_refused_;
  facts.identity_updates = identity_updates_;
  facts.audit_connected = handover_ != nullptr && handover_->connected();
  std::vector<const WorkerMetrics*> workers;
  for (const std::unique_ptr<Worker>& worker : workers_) {
    workers.push_back(&worker->metrics());
  }
  return {.content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
          .body = RenderMetrics(workers, facts)};
}

AdminAnswer Proxy::AdminConfig() const {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<const Snapshot> snapshot = snapshots_.Get();
  Json json = {{"instance", options_.name},
               {"workers", workers_.size()},
               {"ready", snapshot->MayServe(clock_.Now())}};
  if (snapshot->identity != nullptr) {
    const identity::X509Svid& svid = snapshot->identity->svid();
    json["identity"] = {{"id", svid.id().str()},
                        {"serial", svid.serial()},
                        {"notAfter", FormatTime(svid.not_after())},
                        {"generation", snapshot->identity->svid_generation()},
                        {"bundleGeneration", snapshot->identity->bundle_generation()}};
    Json domains = Json::array();
    for (const auto& [name, bundle] : snapshot->identity->bundles()->all()) {
      domains.push_back({{"trustDomain", name},
                         {"sequence", bundle->sequence()},
                         {"authorities", bundle->authorities_der().size()}});
    }
    json["bundles"] = std::move(domains);
  }
  if (snapshot->configuration != nullptr) {
    json["version"] = snapshot->configuration->version();
    json["workload"] = snapshot->configuration->workload().str();
    Json sets = Json::array();
    for (const Configuration::PolicyDigest& set : snapshot->configuration->policy_digests()) {
      sets.push_back({{"set", set.set}, {"version", set.version}, {"digest", set.digest}});
    }
    json["policySets"] = std::move(sets);
    Json doors = Json::array();
    for (const ListenerSet::Entry& entry : snapshot->listeners->entries()) {
      doors.push_back(DoorJson(entry));
    }
    json["doors"] = std::move(doors);
  }
  if (!last_refusal_.empty()) {
    json["lastRefusal"] = last_refusal_;
  }
  return {.content_type = "application/json", .body = json.dump(2) + "\n"};
}

}  // namespace countersign::proxy
