// Server is countersign-server running: everything wired together, in the order in which it must
// start and end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/unix_grpc/unix_grpc_listener.h"
#include "identity/server/admin_service.h"
#include "identity/server/agent_directory.h"
#include "identity/server/applier.h"
#include "identity/server/issuer.h"
#include "identity/server/node_attestation_service.h"
#include "identity/server/node_places.h"
#include "identity/server/node_port.h"
#include "identity/server/node_sessions.h"
#include "identity/server/node_stream_service.h"
#include "identity/server/peer_identity_service.h"
#include "identity/server/registry.h"
#include "identity/server/store.h"

namespace countersign::server {

struct ServerOptions {
  std::string trust_domain;
  std::string data_dir;
  std::string listen = "127.0.0.1:8081";
  std::string admin_socket;
  std::chrono::nanoseconds agent_svid_ttl = std::chrono::hours(1);
  std::chrono::nanoseconds authority_ttl = std::chrono::hours(168);
  std::string upstream_cert_path;
  std::string upstream_key_path;
  uint64_t store_pages_max = 0;  // Most pages of the store; 0: as many as the disk takes.
  NodePlaceLimits node_places;
};

// Server serves from Start until it goes. The clock outlives it.
class Server {
 public:
  static StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, const Clock& clock);
  // Ends open streams, then everything.
  ~Server();

  int port() const { return node_port_->port(); }
  const Issuer& issuer() const { return *issuer_; }

 private:
  Server(const ServerOptions& options, const Clock& clock)
      : options_(options), clock_(clock), places_(options.node_places, clock) {}
  Status Open();
  Status PublishOwnBundle();
  Status RenewServerSvid();
  Status Listen();
  void StateChanged(const Registry::State& state);
  void KeepHouse();

  const ServerOptions options_;
  const Clock& clock_;
  Fd lock_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Issuer> issuer_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<AgentDirectory> agents_;
  std::unique_ptr<Applier> applier_;
  NodeSessions sessions_;
  NodePlaces places_;
  std::shared_ptr<Trust> trust_ = std::make_shared<Trust>();
  std::unique_ptr<NodeAttestationService> attestation_;
  std::unique_ptr<NodeStreamService> streams_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<UnixGrpcListener> admin_listener_;
  std::unique_ptr<NodePort> node_port_;
  std::unique_ptr<grpc::Server> node_server_;
  std::unique_ptr<grpc::Server> admin_server_;
  WallTime renew_at_;  // Of the server's SVID. Housekeeping thread only, once it runs.

  std::mutex mutex_;
  std::condition_variable ended_;
  bool ending_ = false;
  std::thread housekeeping_;
};

}  // namespace countersign::server
