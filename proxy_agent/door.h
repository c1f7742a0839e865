// Door: one place where connections come in, with everything a connection needs to know of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/record/recorder.h"
#include "authz/engine/authorizer.h"
#include "authz/engine/canonical.h"
#include "authz/kinds/service.h"
#include "identity/spiffe_id.h"
#include "proxy_agent/address.h"

namespace countersign::proxy {

enum class Direction : uint8_t { kInbound, kOutbound };

// Endpoint is one address where a callee's proxy listens, and who must answer there.
struct Endpoint {
  Address address;
  identity::SpiffeId peer;
};

// Cluster is the endpoints of one port of one Service. A split sends parts of the requests to
// several.
struct Cluster {
  std::string service;
  std::vector<Endpoint> endpoints;
};

// Door is immutable; connections hold the one they came in by.
struct Door {
  Direction direction = Direction::kInbound;
  std::string name;     // The port's name in its Service.
  std::string service;  // The Service it belongs to, or that it reaches.
  authz::PortProtocol protocol = authz::PortProtocol::kHttp;
  Address listen;
  uint16_t port = 0;            // What policies see as `port`.
  identity::SpiffeId workload;  // Whose proxy this is.
  identity::SpiffeId callee;    // Whom requests through this door reach.
  audit::Durability durability = audit::Durability::kBestEffort;
  authz::PathRelaxations relaxations = {};

  // Inbound.
  authz::PortTls tls = authz::PortTls::kMesh;
  std::optional<Address> application = {};
  std::vector<authz::ProbeExemption> probes = {};

  // Outbound.
  std::optional<authz::Reach> reach = {};
  std::vector<Cluster> clusters = {};  // The Service's own first, then those of its Route's splits.
};

}  // namespace countersign::proxy
