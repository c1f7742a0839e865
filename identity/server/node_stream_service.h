// NodeStreamService holds the long-lived streams of all agents and tells each of what concerns it,
// at the moment it changes.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/clock.h"
#include "countersign/v1/node.grpc.pb.h"
#include "identity/server/agent_directory.h"
#include "identity/server/issuer.h"
#include "identity/server/node_places.h"
#include "identity/server/node_sessions.h"
#include "identity/server/node_view.h"
#include "identity/server/peer_identity_service.h"
#include "identity/server/rate_limiter.h"
#include "identity/server/registry.h"

namespace countersign::server {

struct NodeStreamLimits {
  // A node with many workloads starts with a burst; later it renews each at half life.
  static constexpr Rate kSigningOfAgent{.per_second = 50, .burst = 1000};
  // No agent fills the server's disk by being refused.
  static constexpr Rate kRefusalsLoggedOfAgent{.per_second = 0.2, .burst = 20};
  static constexpr size_t kUnappliedViewsMax = 8;  // Remembered for a resume; older: sent whole.
  static constexpr size_t kAnswersMax = 64;        // Unsent ones; then no more is read.
  static constexpr size_t kMessageBytesMax = 4 << 20;  // From an agent.
};

// SentView is what an agent was sent as of a revision.
struct SentView {
  Revision revision;
  std::shared_ptr<const NodeView> view;
};

class AgentStream;

// NodeStreamService is safe for any thread. What it is given outlives it; its gRPC server is shut
// down before it goes.
class NodeStreamService final : public v1::NodeStream::CallbackService {
 public:
  struct Parts {
    Registry& registry;
    AgentDirectory& agents;
    NodeSessions& sessions;
    NodePlaces& places;
    const Issuer& issuer;
    const Trust& trust;
    const Clock& clock;
    std::chrono::nanoseconds agent_svid_ttl;
  };
  explicit NodeStreamService(const Parts& parts);

  grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage>* Connect(
      grpc::CallbackServerContext* context) override;

  // StateChanged tells every stream; it is the registry's observer.
  void StateChanged(const Registry::State& state);
  // CloseExpired ends the streams of agents whose SVID has expired.
  void CloseExpired();
  // CloseAgent ends an agent's streams, for a ban.
  void CloseAgent(const std::string& agent_id);
  // CloseFormer ends the streams of an agent's other attestations, once `newest` is stored.
  void CloseFormer(const std::string& agent_id, const Attestation& newest);

 private:
  friend class AgentStream;
  // CheckAdmitted says whether the agent is known and its SVID of its newest attestation.
  Status CheckAdmitted(const AdmittedAgent& agent, const identity::VerifiedPeer& peer);
  // Below: for AgentStream.
  void Add(AgentStream* stream, const std::string& agent_id);
  void Remove(AgentStream* stream, const std::string& agent_id, std::deque<SentView> views);
  // TakeView is the view that the agent was sent as of `have`, or null.
  std::shared_ptr<const NodeView> TakeView(const std::string& agent_id, Revision have);
  bool MayLogRefusal(const std::string& agent_id) { return refusals_logged_.Take(agent_id); }
  // Sign answers one signing request of an agent.
  StatusOr<SignedSvid> Sign(const AdmittedAgent& agent, const v1::SigningRequest& request);
  StatusOr<SignedSvid> SignAgent(const AdmittedAgent& agent, const v1::SigningRequest& request);

  const Parts parts_;
  RateLimiter signing_;
  RateLimiter refusals_logged_;
  std::mutex mutex_;  // Taken before a stream's own.
  std::map<std::string, std::set<AgentStream*>, std::less<>> streams_;
  std::map<std::string, std::deque<SentView>, std::less<>> remembered_;
};

}  // namespace countersign::server
