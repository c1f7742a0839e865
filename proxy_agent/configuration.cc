#include "proxy_agent/configuration.h"

#include <algorithm>
#include <map>

#include "authz/kinds/loader.h"
#include "base/crypto/hash.h"
#include "base/log.h"

namespace countersign::proxy {
namespace {

using authz::Route;
using authz::Service;
using authz::ServicePort;

StatusOr<Cluster> MakeCluster(const Service& service, std::string_view port, EndpointNames& names) {
  Cluster cluster;
  cluster.service = service.name;
  ASSIGN_OR_RETURN(const identity::SpiffeId peer, identity::SpiffeId::Parse(service.workload_id));
  for (const authz::ServiceEndpoint& endpoint : service.endpoints) {
    if (endpoint.port != port) {
      continue;
    }
    if (endpoint.dns) {
      for (const Address& address : names.Of(endpoint.address)) {
        cluster.endpoints.push_back({address, peer});
      }
      continue;
    }
    ASSIGN_OR_RETURN(Address address, Address::Parse(endpoint.address));
    cluster.endpoints.push_back({std::move(address), peer});
  }
  return cluster;
}

// DoorMaker turns Services and Routes into the doors of one workload.
class DoorMaker {
 public:
  DoorMaker(const identity::SpiffeId& workload, const InstanceOptions& options,
            std::optional<uint32_t> application_uid, EndpointNames& names)
      : workload_(workload), options_(options), application_uid_(application_uid), names_(names) {}

  Status Load(const ConfigurationSource& source) {
    for (const std::string& document : source.services) {
      ASSIGN_OR_RETURN(Service service, authz::LoadService(document));
      std::string name = service.name;
      services_.emplace(std::move(name), std::move(service));
    }
    for (const std::string& document : source.routes) {
      ASSIGN_OR_RETURN(Route route, authz::LoadRoute(document));
      if (!routes_.emplace(route.service, route).second) {
        return InvalidArgument("service ", Quoted(route.service), " has more than one Route");
      }
    }
    return absl::OkStatus();
  }

  std::vector<Route> Routes() const {
    std::vector<Route> routes;
    for (const auto& [service, route] : routes_) {
      routes.push_back(route);
    }
    return routes;
  }

  StatusOr<std::vector<std::shared_ptr<const Door>>> Make() {
    std::vector<std::shared_ptr<const Door>> doors;
    for (const auto& [name, service] : services_) {
      if (service.workload_id == workload_.str()) {
        for (const ServicePort& port : service.ports) {
          ASSIGN_OR_RETURN(Door door, MakeInbound(service, port));
          doors.push_back(std::make_shared<const Door>(std::move(door)));
        }
      }
      for (const authz::ServiceReach& reach : service.reach) {
        ASSIGN_OR_RETURN(std::optional<Door> door, MakeOutbound(service, reach));
        if (door.has_value()) {
          doors.push_back(std::make_shared<const Door>(*std::move(door)));
        }
      }
    }
    RETURN_IF_ERROR(CheckAddresses(doors));
    return doors;
  }

 private:
  StatusOr<Door> MakeInbound(const Service& service, const ServicePort& port) {
    std::string_view listen = port.listen;
    if (const auto found = options_.listen.find(port.name); found != options_.listen.end()) {
      listen = found->second;
    }
    std::string_view application = port.application;
    if (const auto found = options_.application.find(port.name);
        found != options_.application.end()) {
      application = found->second;
    }
    ASSIGN_OR_RETURN(Address listen_address, Address::Parse(listen));
    ASSIGN_OR_RETURN(Address application_address, Address::Parse(application));
    Door door{.direction = Direction::kInbound,
              .name = port.name,
              .service = service.name,
              .protocol = port.protocol,
              .listen = listen_address,
              .port = listen_address.port(),
              .workload = workload_,
              .callee = workload_,
              .durability = port.audit == authz::AuditMode::kStrict
                                ? audit::Durability::kStrict
                                : audit::Durability::kBestEffort,
              .tls = port.tls,
              .application = application_address};
    if (port.tls == authz::PortTls::kPermissive) {
      LogWarning("port takes plaintext callers without identity",
                 {{"service", service.name}, {"port", port.name}});
    }
    for (const std::string& word : port.allow_in_path) {
      ASSIGN_OR_RETURN(const authz::PathRelaxation relaxation, authz::ParsePathRelaxation(word));
      door.relaxations.Allow(relaxation);
    }
    for (const authz::ServiceProbe& probe : port.probes) {
      door.probes.push_back({probe.path, probe.from});
    }
    return door;
  }

  StatusOr<std::optional<Door>> MakeOutbound(const Service& service,
                                             const authz::ServiceReach& reach) {
    ASSIGN_OR_RETURN(authz::Reach judged,
                     authz::Reach::Create(application_uid_, workload_, reach.from));
    const ServicePort* port = service.FindPort(reach.port);
    if (!judged.names_workload() || port == nullptr) {
      return std::optional<Door>();
    }
    std::string_view listen = reach.listen;
    if (const auto found = options_.reach.find(service.name); found != options_.reach.end()) {
      listen = found->second;
    }
    if (const auto found = options_.reach.find(Concat(service.name, "/", port->name));
        found != options_.reach.end()) {
      listen = found->second;
    }
    ASSIGN_OR_RETURN(Address listen_address, Address::Parse(listen));
    if (!listen_address.is_unix() && !listen_address.is_loopback()) {
      return InvalidArgument("service ", Quoted(service.name), " offers its reach on ",
                             listen_address.text(),
                             ", which is neither loopback nor a unix socket");
    }
    ASSIGN_OR_RETURN(identity::SpiffeId callee, identity::SpiffeId::Parse(service.workload_id));
    Door door{.direction = Direction::kOutbound,
              .name = port->name,
              .service = service.name,
              .protocol = port->protocol,
              .listen = listen_address,
              .port = listen_address.port(),
              .workload = workload_,
              .callee = std::move(callee),
              .reach = std::move(judged)};
    for (const std::string& word : port->allow_in_path) {
      ASSIGN_OR_RETURN(const authz::PathRelaxation relaxation, authz::ParsePathRelaxation(word));
      door.relaxations.Allow(relaxation);
    }
    RETURN_IF_ERROR(AddClusters(service, *port, door));
    return std::optional<Door>(std::move(door));
  }

  Status AddClusters(const Service& service, const ServicePort& port, Door& door) {
    ASSIGN_OR_RETURN(Cluster own, MakeCluster(service, port.name, names_));
    door.clusters.push_back(std::move(own));
    const auto route = routes_.find(service.name);
    if (route == routes_.end()) {
      return absl::OkStatus();
    }
    for (const authz::RouteRule& rule : route->second.rules) {
      for (const authz::RouteSplit& split : rule.split) {
        const bool known =
            std::any_of(door.clusters.begin(), door.clusters.end(),
                        [&](const Cluster& c) { return c.service == split.service; });
        if (known) {
          continue;
        }
        const auto target = services_.find(split.service);
        if (target == services_.end()) {
          return InvalidArgument("route ", Quoted(route->second.name), " splits to service ",
                                 Quoted(split.service), ", which is not known here");
        }
        ASSIGN_OR_RETURN(Cluster cluster, MakeCluster(target->second, port.name, names_));
        door.clusters.push_back(std::move(cluster));
      }
    }
    return absl::OkStatus();
  }

  static Status CheckAddresses(const std::vector<std::shared_ptr<const Door>>& doors) {
    if (doors.size() > ConfigurationLimits::kDoorsMax) {
      return ResourceExhausted(doors.size(), " doors, at most ", ConfigurationLimits::kDoorsMax);
    }
    std::map<std::string, const Door*> seen;
    for (const std::shared_ptr<const Door>& door : doors) {
      if (const auto [found, is_new] = seen.emplace(door->listen.text(), door.get()); !is_new) {
        return InvalidArgument("services ", Quoted(found->second->service), " and ",
                               Quoted(door->service), " both want ", door->listen.text());
      }
    }
    return absl::OkStatus();
  }

  const identity::SpiffeId& workload_;
  const InstanceOptions& options_;
  std::optional<uint32_t> application_uid_;
  EndpointNames& names_;
  std::map<std::string, Service, std::less<>> services_;
  std::map<std::string, Route, std::less<>> routes_;
};

StatusOr<audit::Digest> BinaryDigest(std::string_view hex) {
  ASSIGN_OR_RETURN(const std::string bytes, HexDecode(hex));
  audit::Digest digest = {};
  if (bytes.size() != digest.size()) {
    return InvalidArgument("policy digest ", Quoted(hex), " is not a SHA-256");
  }
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(digest.data()));
  return digest;
}

}  // namespace

Status AddOverride(std::map<std::string, std::string, std::less<>>& into, std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return InvalidArgument(Quoted(text), " is not NAME=ADDRESS");
  }
  if (!into.emplace(text.substr(0, equals), text.substr(equals + 1)).second) {
    return InvalidArgument(Quoted(text.substr(0, equals)), " is given twice");
  }
  return Address::Parse(text.substr(equals + 1)).status();
}

StatusOr<std::shared_ptr<const Configuration>> Configuration::Create(
    const ConfigurationSource& source, const InstanceOptions& options, EndpointNames& names) {
  if (source.services.size() + source.routes.size() > ConfigurationLimits::kDocumentsMax) {
    return ResourceExhausted("configuration has ", source.services.size() + source.routes.size(),
                             " documents, at most ", ConfigurationLimits::kDocumentsMax);
  }
  ASSIGN_OR_RETURN(identity::SpiffeId workload, identity::SpiffeId::Parse(source.workload_id));
  std::shared_ptr<Configuration> made(new Configuration(std::move(workload)));
  made->version_ = source.version;
  made->node_id_ = source.node_id;
  made->audit_socket_ = source.audit_socket;

  authz::PolicySets sets;
  for (const ConfigurationSource::PolicySet& set : source.policy_sets) {
    ASSIGN_OR_RETURN(std::shared_ptr<const authz::PolicySet> loaded,
                     authz::LoadPolicySet(set.documents, set.digest));
    sets.push_back(std::move(loaded));
    made->policy_digests_.push_back({set.name, set.version, set.digest});
  }
  ASSIGN_OR_RETURN(made->policy_, authz::CompiledPolicy::Compile(std::move(sets)));
  for (const PolicyDigest& digest : made->policy_digests_) {
    ASSIGN_OR_RETURN(const audit::Digest binary, BinaryDigest(digest.digest));
    made->policy_versions_.push_back(
        {.set = digest.set, .version = digest.version, .digest = binary});
  }

  DoorMaker maker(made->workload_, options, source.application_uid, names);
  RETURN_IF_ERROR(maker.Load(source));
  ASSIGN_OR_RETURN(made->doors_, maker.Make());
  ASSIGN_OR_RETURN(made->routes_, RouteTable::Compile(maker.Routes()));
  return std::shared_ptr<const Configuration>(std::move(made));
}

}  // namespace countersign::proxy
