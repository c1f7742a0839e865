// The SPIFFE Workload API: X.509 identities and bundles for the process that asks.
#pragma once

#include "sds/agent/stream_service.h"
#include "spiffe/workload_api.grpc.pb.h"

namespace countersign::agent {

// WorkloadApiService serves SpiffeWorkloadAPI. JWT profiles are not served yet; their methods
// answer UNIMPLEMENTED.
class WorkloadApiService final : public SpiffeWorkloadAPI::CallbackService {
 public:
  explicit WorkloadApiService(const ServiceContext& context) : context_(context) {}

  grpc::ServerWriteReactor<X509SVIDResponse>* FetchX509SVID(
      grpc::CallbackServerContext* call, const X509SVIDRequest* request) override;
  grpc::ServerWriteReactor<X509BundlesResponse>* FetchX509Bundles(
      grpc::CallbackServerContext* call, const X509BundlesRequest* request) override;

 private:
  const ServiceContext context_;
};

}  // namespace countersign::agent
