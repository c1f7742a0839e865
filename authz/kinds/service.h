// Service: a workload's doors, inbound and outbound. Made by the loader.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "authz/model/field.h"

namespace countersign::authz {

enum class PortProtocol : uint8_t { kHttp, kTcp };
enum class PortTls : uint8_t {
  kMesh,        // A verified client SVID is required.
  kEdge,        // Callers may be anonymous; policy decides.
  kPermissive,  // mTLS and plaintext; loud.
};
enum class AuditMode : uint8_t { kBestEffort, kStrict };

std::string_view PortProtocolName(PortProtocol protocol);  // "http", "tcp"
std::string_view PortTlsName(PortTls tls);                 // "mesh", "edge", "permissive"
std::string_view AuditModeName(AuditMode mode);            // "best-effort", "strict"

// ServiceProbe exempts a health check from policy: GET of exactly this path from these addresses.
struct ServiceProbe {
  std::string path;
  std::vector<IpRange> from;  // Never empty.
};

struct ServicePort {
  std::string name;
  PortProtocol protocol = PortProtocol::kHttp;
  std::string listen;       // "0.0.0.0:8443" or "[::]:8443".
  std::string application;  // "unix:/run/shop/orders.sock" or "127.0.0.1:8080".
  PortTls tls = PortTls::kMesh;
  std::vector<ServiceProbe> probes;  // HTTP ports only.
  // What ParsePathRelaxation (authz/engine/canonical.h) reads: "semicolon". HTTP ports only.
  std::vector<std::string> allow_in_path;
  AuditMode audit = AuditMode::kBestEffort;
  SourcePosition where;
};

// ServiceEndpoint is where callers' proxies dial one port of the service.
struct ServiceEndpoint {
  std::string port;     // Name of a port of this service.
  std::string address;  // "10.0.0.7:8443"; with `dns` a name: "orders.shop.internal:8443".
  bool dns = false;
};

// ServiceReach is how the proxies of some callers offer the service to their applications.
struct ServiceReach {
  std::vector<Matcher> from;  // Over the calling workload's ID; never empty.
  std::string listen;         // "127.0.0.1:18443" or "unix:/run/web/orders.sock".
  std::string port;           // Name of a port of this service.
  SourcePosition where;
};

struct Service {
  std::string name;
  std::string workload_id;
  std::vector<ServicePort> ports;          // Never empty; sorted by name.
  std::vector<ServiceEndpoint> endpoints;  // May be empty: nobody can reach it yet.
  std::vector<ServiceReach> reach;
  std::string canonical_json;
  SourcePosition where;

  // FindPort returns null if there is no port of that name.
  const ServicePort* FindPort(std::string_view port_name) const;
};

}  // namespace countersign::authz
