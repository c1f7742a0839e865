#include "sds/agent/socket_service.h"

#include <chrono>

namespace countersign::agent {
namespace {

// Anybody may connect; who is given what is decided by attestation.
constexpr unsigned kSocketMode = 0666;

UnixGrpcListener::OnAccept PinCallers(SelectorMode mode) {
  return [mode](int socket, const UnixCaller& caller) -> StatusOr<std::shared_ptr<const void>> {
    if (mode == SelectorMode::kDemo) {
      LogWarning("demo selectors: the caller will be believed what its environment says",
                 {{"pid", caller.pid}, {"uid", caller.uid}});
    }
    ASSIGN_OR_RETURN(std::shared_ptr<const AttestedProcess> process,
                     AttestedProcess::Pin(socket, {caller.uid, caller.gid, caller.pid}));
    return std::shared_ptr<const void>(std::move(process));
  };
}

}  // namespace

StatusOr<std::unique_ptr<SocketService>> SocketService::Start(const Options& options,
                                                              const Parts& parts) {
  UnixGrpcListener::Options listen;
  listen.path = options.path;
  listen.mode = kSocketMode;
  listen.on_accept = PinCallers(options.mode);
  listen.is_known = options.is_known;
  listen.limits.connections_max = parts.limits.connections_max;
  listen.limits.connections_per_uid_max = parts.limits.connections_per_uid_max;
  ASSIGN_OR_RETURN(std::unique_ptr<UnixGrpcListener> listener,
                   UnixGrpcListener::Create(std::move(listen)));
  std::unique_ptr<SocketService> service(new SocketService(std::move(listener), options, parts));
  grpc::ServerBuilder builder;
  builder.RegisterService(&service->workload_api_);
  builder.RegisterService(&service->secrets_);
  builder.RegisterService(&service->proxy_config_);
  builder.SetMaxReceiveMessageSize(parts.limits.request_bytes_max);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(parts.limits.streams_per_uid_max));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  // A connection without a stream is only a descriptor taken; streams last as long as they like.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 60'000);
  service->server_ = builder.BuildAndStart();
  if (!service->server_) {
    return Internal("cannot start the gRPC server of ", options.path);
  }
  service->listener_->Serve(*service->server_);
  return service;
}

SocketService::SocketService(std::unique_ptr<UnixGrpcListener> listener, const Options& options,
                             const Parts& parts)
    : listener_(std::move(listener)),
      context_{parts.limits,   parts.clock,    parts.hub, parts.slots,
               parts.refusals, parts.attestor, *listener_},
      workload_api_(context_),
      secrets_(context_),
      proxy_config_(context_, options.facts, parts.proxies) {}

SocketService::~SocketService() {
  listener_->Stop();
  if (server_) {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
    server_->Wait();
  }
}

}  // namespace countersign::agent
