// NodeAttestationService admits a node: it trades a join token for an agent's first SVID.
//
// It is the one service that callers without a certificate reach, so each caller is held to a rate
// before anything is parsed or looked up.
#pragma once

#include <chrono>

#include "base/clock.h"
#include "countersign/v1/node.grpc.pb.h"
#include "identity/server/agent_directory.h"
#include "identity/server/issuer.h"
#include "identity/server/rate_limiter.h"
#include "identity/server/registry.h"

namespace countersign::server {

struct AttestationLimits {
  static constexpr Rate kOfAddress{.per_second = 5, .burst = 50};
  static constexpr Rate kFailuresOfAddress{.per_second = 0.2, .burst = 20};
  static constexpr Rate kOfAll{.per_second = 100, .burst = 500, .keys_max = 1};
};

// NodeAttestationService is safe for any thread. What it is given outlives it.
class NodeAttestationService final : public v1::NodeAttestation::CallbackService {
 public:
  struct Parts {
    Registry& registry;
    AgentDirectory& agents;
    const Issuer& issuer;
    const Clock& clock;
    std::chrono::nanoseconds agent_svid_ttl;
  };
  explicit NodeAttestationService(const Parts& parts);

  grpc::ServerUnaryReactor* GetBundle(grpc::CallbackServerContext* context,
                                      const v1::GetBundleRequest* request,
                                      v1::GetBundleResponse* response) override;
  grpc::ServerUnaryReactor* AttestNode(grpc::CallbackServerContext* context,
                                       const v1::AttestNodeRequest* request,
                                       v1::AttestNodeResponse* response) override;

 private:
  Status CheckRate(const std::string& address);
  StatusOr<std::string> OwnBundle() const;
  Status Attest(const std::string& address, const v1::AttestNodeRequest& request,
                v1::AttestNodeResponse& response);

  const Parts parts_;
  RateLimiter of_address_;
  RateLimiter failures_of_address_;
  RateLimiter of_all_;
};

}  // namespace countersign::server
