#include "identity/server/node_stream_service.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "identity/server/agent_stream.h"

namespace countersign::server {
namespace {

// A call that is refused before it begins.
class RefusedStream final : public grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage> {
 public:
  explicit RefusedStream(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

NodeStreamService::NodeStreamService(const Parts& parts)
    : parts_(parts),
      signing_(NodeStreamLimits::kSigningOfAgent, parts.clock),
      refusals_logged_(NodeStreamLimits::kRefusalsLoggedOfAgent, parts.clock) {}

grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage>* NodeStreamService::Connect(
    grpc::CallbackServerContext* context) {
  StatusOr<identity::VerifiedPeer> peer = VerifyCaller(*context, parts_.trust, parts_.clock.Now());
  if (!peer.ok()) {
    return new RefusedStream(peer.status());
  }
  StatusOr<std::string> name = AgentNameOf(parts_.issuer.trust_domain(), peer->id());
  if (!name.ok()) {
    return new RefusedStream(name.status());
  }
  AdmittedAgent agent{peer->id().str(), *std::move(name), Attestation::Of(peer->serial())};
  if (Status status = CheckAdmitted(agent, *peer); !status.ok()) {
    return new RefusedStream(status);
  }
  auto* stream = new AgentStream(*this, *context, *peer, agent);
  Add(stream, agent.id);
  // Again: an agent that was removed or attested again between the two looks had no stream to
  // close.
  if (Status status = CheckAdmitted(agent, *peer); !status.ok()) {
    stream->Close(status);
  } else {
    stream->Begin();
  }
  return stream;
}

Status NodeStreamService::CheckAdmitted(const AdmittedAgent& agent,
                                        const identity::VerifiedPeer& peer) {
  Status status = parts_.agents.CheckCurrent(agent);
  if (!status.ok() && MayLogRefusal(agent.id)) {
    LogWarning("an agent is refused",
               {{"agent", agent.id}, {"serial", peer.serial()}, {"why", status}});
  }
  return status;
}

void NodeStreamService::StateChanged(const Registry::State& state) {
  std::lock_guard lock(mutex_);
  for (auto& [agent_id, streams] : streams_) {
    for (AgentStream* stream : streams) {
      stream->StateChanged(state);
    }
  }
}

void NodeStreamService::CloseExpired() {
  WallTime now = parts_.clock.Now();
  std::lock_guard lock(mutex_);
  for (auto& [agent_id, streams] : streams_) {
    for (AgentStream* stream : streams) {
      stream->CutIfStuck();
      if (now >= stream->expires()) {
        LogWarning("an agent's SVID has expired; its stream ends", {{"agent", agent_id}});
        stream->Close(Error(StatusCode::kUnauthenticated, "the agent's SVID has expired"));
      }
    }
  }
}

void NodeStreamService::CloseAgent(const std::string& agent_id) {
  std::lock_guard lock(mutex_);
  remembered_.erase(agent_id);
  auto found = streams_.find(agent_id);
  if (found != streams_.end()) {
    for (AgentStream* stream : found->second) {
      stream->Close(PermissionDenied("this agent was removed by an administrator"));
    }
  }
}

void NodeStreamService::CloseFormer(const std::string& agent_id, const Attestation& newest) {
  std::lock_guard lock(mutex_);
  remembered_.erase(agent_id);
  auto found = streams_.find(agent_id);
  if (found != streams_.end()) {
    for (AgentStream* stream : found->second) {
      if (stream->attestation() != newest) {
        stream->Close(PermissionDenied("this agent was attested again"));
      }
    }
  }
}

// The newest stream counts: an agent that comes again has lost the one before, even if the kernel
// has not noticed.
void NodeStreamService::Add(AgentStream* stream, const std::string& agent_id) {
  std::lock_guard lock(mutex_);
  for (AgentStream* former : streams_[agent_id]) {
    former->Close(Error(StatusCode::kAborted, "a newer stream of this agent began"));
  }
  streams_[agent_id].insert(stream);
}

void NodeStreamService::Remove(AgentStream* stream, const std::string& agent_id,
                               std::deque<SentView> views) {
  std::lock_guard lock(mutex_);
  auto found = streams_.find(agent_id);
  if (found == streams_.end()) {
    return;
  }
  found->second.erase(stream);
  if (found->second.empty()) {
    streams_.erase(found);
    if (!views.empty()) {
      remembered_[agent_id] = std::move(views);
    }
  }
}

std::shared_ptr<const NodeView> NodeStreamService::TakeView(const std::string& agent_id,
                                                            Revision have) {
  std::lock_guard lock(mutex_);
  // An agent that comes again quickly finds its former stream still ending.
  auto streams = streams_.find(agent_id);
  if (streams != streams_.end()) {
    for (const AgentStream* former : streams->second) {
      if (std::shared_ptr<const NodeView> view = former->ViewAt(have); view != nullptr) {
        return view;
      }
    }
  }
  auto found = remembered_.find(agent_id);
  if (found == remembered_.end()) {
    return nullptr;
  }
  std::deque<SentView> views = std::move(found->second);
  remembered_.erase(found);
  auto same = std::find_if(views.begin(), views.end(),
                           [&](const SentView& sent) { return sent.revision == have; });
  return same == views.end() ? nullptr : same->view;
}

StatusOr<SignedSvid> NodeStreamService::SignAgent(const AdmittedAgent& agent,
                                                  const v1::SigningRequest& request) {
  ASSIGN_OR_RETURN(identity::SpiffeId id, identity::SpiffeId::Parse(agent.id));
  ASSIGN_OR_RETURN(SignedSvid svid, parts_.issuer.Sign({std::move(id),
                                                        request.csr(),
                                                        parts_.agent_svid_ttl,
                                                        {},
                                                        agent.attestation.serial_prefix()}));
  SvidFacts facts{svid.serial, svid.not_after};
  RETURN_IF_ERROR(parts_.agents.Renewed(agent, facts));
  parts_.sessions.Renewed(agent.id, facts);
  LogInfo(
      "agent's SVID renewed",
      {{"agent", agent.id}, {"serial", svid.serial}, {"not_after", FormatTime(svid.not_after)}});
  return svid;
}

StatusOr<SignedSvid> NodeStreamService::Sign(const AdmittedAgent& agent,
                                             const v1::SigningRequest& request) {
  const std::string& agent_id = agent.id;
  if (!signing_.Take(agent_id)) {
    return ResourceExhausted("this agent asks for more than ",
                             static_cast<uint64_t>(NodeStreamLimits::kSigningOfAgent.per_second),
                             " signatures a second; wait and ask again");
  }
  // A stream that is about to be closed has nothing signed any more.
  RETURN_IF_ERROR(parts_.agents.CheckCurrent(agent));
  if (request.registration().empty()) {
    return SignAgent(agent, request);
  }
  Registry::State state = parts_.registry.state();
  auto found = state->registrations.find(request.registration());
  const std::vector<std::string>* nodes =
      found == state->registrations.end() ? nullptr : &found->second->value.nodes;
  if (nodes == nullptr || std::find(nodes->begin(), nodes->end(), agent_id) == nodes->end()) {
    // One answer for both, so that a node learns nothing of registrations that are not its own.
    return PermissionDenied("no registration ", Quoted(request.registration()), " names this node");
  }
  const authz::Registration& registration = found->second->value;
  ASSIGN_OR_RETURN(identity::SpiffeId id, identity::SpiffeId::Parse(registration.id));
  ASSIGN_OR_RETURN(SignedSvid svid,
                   parts_.issuer.Sign({std::move(id), request.csr(), registration.svid_ttl,
                                       registration.dns_names}));
  LogInfo("SVID signed", {{"id", registration.id},
                          {"registration", registration.name},
                          {"agent", agent_id},
                          {"serial", svid.serial},
                          {"not_after", FormatTime(svid.not_after)}});
  return svid;
}

}  // namespace countersign::server
