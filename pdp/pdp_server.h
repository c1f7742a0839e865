// PdpServer is the stand-alone policy decision point: a policy folder and its front doors.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "pdp/authzen.h"
#include "pdp/ext_authz.h"
#include "pdp/limits.h"
#include "pdp/listen_address.h"

namespace countersign::pdp {

class ExtAuthzService;

// NetworkUse says whether plain text may leave the machine. Neither front door has TLS or knows its
// callers: whoever reaches it can ask anything.
enum class NetworkUse : uint8_t { kLocalOnly, kInsecureNetwork };

struct PdpOptions {
  std::string policies;               // Folder or file.
  std::optional<ListenAddress> grpc;  // ext_authz.
  std::optional<ListenAddress> http;  // AuthZEN, health, metrics.
  ExtAuthzOptions ext_authz;          // workload also bounds what AuthZEN answers.
  std::string public_url;             // For AuthZEN's metadata; empty: of `http`, if it has one.
  unsigned unix_mode = 0600;          // Of both Unix sockets.
  NetworkUse network = NetworkUse::kLocalOnly;
  PdpLimits limits;
};

// PdpServer serves from Start to Stop or destruction. LookNow is safe for any thread; the rest
// belongs to one.
class PdpServer {
 public:
  // Start refuses addresses that it may not or cannot use. A policy folder that cannot be taken is
  // no error: everything is denied until it can.
  static StatusOr<std::unique_ptr<PdpServer>> Start(PdpOptions options, const Clock& clock);
  ~PdpServer();
  PdpServer(const PdpServer&) = delete;
  PdpServer& operator=(const PdpServer&) = delete;

  // The addresses that were bound; null for a door that was not asked for.
  const ListenAddress* grpc_address() const;
  const ListenAddress* http_address() const;
  PolicyState State() const { return source_->State(); }
  // LookNow reads the policy folder at once.
  void LookNow() { source_->LookNow(); }
  // Stop takes nothing new and lets what has begun end.
  void Stop();

 private:
  PdpServer(PdpOptions options, const Clock& clock);
  Status Open();

  PdpOptions options_;
  std::unique_ptr<PolicySource> source_;
  DecisionPoint decisions_;
  ExtAuthz ext_authz_;
  std::unique_ptr<AuthZen> authzen_;
  std::unique_ptr<ExtAuthzService> grpc_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace countersign::pdp
