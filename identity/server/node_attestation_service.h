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
#include "identity/server/node_stream_service.h"
#include "identity/server/rate_limiter.h"
#include "identity/server/registry.h"

namespace countersign::server {

struct AttestationLimits {
  static constexpr Rate kOfSource{.per_second = 5, .burst = 50};
  static constexpr Rate kFailuresOfSource{.per_second = 0.2, .burst = 20};
  static constexpr Rate kOfAll{.per_second = 100, .burst = 500, .keys_max = 1};
  // When the others have used up what is for all, a source that has called little in the last ten
  // minutes, which a node needs to join, draws from a reserve. To use that up as well somebody
  // must own tens of thousands of networks.
  static constexpr Rate kOfRareSource{.per_second = 4.0 / 600, .burst = 4, .keys_max = 32768};
  static constexpr Rate kReserve{.per_second = 50, .burst = 200, .keys_max = 1};
};

// AttestationRate decides whether a source may call now. Safe for any thread; the clock outlives
// it.
class AttestationRate {
 public:
  explicit AttestationRate(const Clock& clock)
      : of_source_(AttestationLimits::kOfSource, clock),
        of_all_(AttestationLimits::kOfAll, clock),
        of_rare_source_(AttestationLimits::kOfRareSource, clock),
        reserve_(AttestationLimits::kReserve, clock) {}
  bool Take(const std::string& source) {
    return of_source_.Take(source) &&
           (of_all_.Take("") || (of_rare_source_.Take(source) && reserve_.Take("")));
  }

 private:
  RateLimiter of_source_;
  RateLimiter of_all_;
  RateLimiter of_rare_source_;
  RateLimiter reserve_;
};

// NodeAttestationService is safe for any thread. What it is given outlives it.
class NodeAttestationService final : public v1::NodeAttestation::CallbackService {
 public:
  struct Parts {
    Registry& registry;
    AgentDirectory& agents;
    NodeStreamService& streams;
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
  Status CheckRate(const grpc::ServerContextBase& context);
  StatusOr<std::string> OwnBundle() const;
  Status Attest(const grpc::ServerContextBase& context, const v1::AttestNodeRequest& request,
                v1::AttestNodeResponse& response);

  const Parts parts_;
  AttestationRate rate_;
  RateLimiter failures_of_source_;
};

}  // namespace countersign::server
