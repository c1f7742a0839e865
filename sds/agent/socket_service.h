// The agent's Unix socket: a gRPC server that knows the process behind each connection.
#pragma once

#include <memory>
#include <string>

#include "base/unix_grpc/unix_grpc_listener.h"
#include "sds/agent/proxy_config_service.h"
#include "sds/agent/secret_service.h"
#include "sds/agent/workload_api_service.h"

namespace countersign::agent {

// SocketService serves from Start until it goes; then it ends every stream.
class SocketService {
 public:
  struct Options {
    std::string path;
    SelectorMode mode = SelectorMode::kUnix;
    NodeFacts facts;
    UnixGrpcListener::IsKnown is_known;
  };
  // Parts are borrowed and outlive it.
  struct Parts {
    const AgentLimits& limits;
    const Clock& clock;
    Hub& hub;
    StreamSlots& slots;
    LogBudget& refusals;
    const WorkloadAttestor& attestor;
    ProxyTable& proxies;
  };
  static StatusOr<std::unique_ptr<SocketService>> Start(const Options& options, const Parts& parts);
  ~SocketService();
  SocketService(const SocketService&) = delete;
  SocketService& operator=(const SocketService&) = delete;

 private:
  SocketService(std::unique_ptr<UnixGrpcListener> listener, const Options& options,
                const Parts& parts);

  std::unique_ptr<UnixGrpcListener> listener_;
  const ServiceContext context_;
  WorkloadApiService workload_api_;
  SecretService secrets_;
  ProxyConfigService proxy_config_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace countersign::agent
