// Envoy's secret discovery service, v3: state of the world, over a stream or fetched once.
#pragma once

#include "envoy/secret.grpc.pb.h"
#include "sds/agent/stream_service.h"

namespace countersign::agent {

// SecretService serves StreamSecrets and FetchSecrets; DeltaSecrets answers UNIMPLEMENTED.
class SecretService final
    : public envoy::service::secret::v3::SecretDiscoveryService::CallbackService {
 public:
  using Request = envoy::service::discovery::v3::DiscoveryRequest;
  using Response = envoy::service::discovery::v3::DiscoveryResponse;

  explicit SecretService(const ServiceContext& context) : context_(context) {}

  grpc::ServerBidiReactor<Request, Response>* StreamSecrets(
      grpc::CallbackServerContext* call) override;
  grpc::ServerUnaryReactor* FetchSecrets(grpc::CallbackServerContext* call, const Request* request,
                                         Response* response) override;

 private:
  const ServiceContext context_;
};

}  // namespace countersign::agent
