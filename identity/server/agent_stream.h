// AgentStream is one agent's open stream: it reads one message at a time, answers it, and sends
// the newest view whenever it differs from the one sent last.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "countersign/v1/node.grpc.pb.h"
#include "identity/server/node_stream_service.h"
#include "identity/server/registry.h"
#include "identity/verified_peer.h"

namespace countersign::server {

// AgentStream owns itself: it goes after OnDone. Changes that come while a message is being written
// are folded into one update, so a slow agent costs no memory. Its mutex is never held while the
// service's is taken.
class AgentStream final : public grpc::ServerBidiReactor<v1::AgentMessage, v1::ServerMessage> {
 public:
  AgentStream(NodeStreamService& service, grpc::CallbackServerContext& context,
              const identity::VerifiedPeer& peer, AdmittedAgent agent);

  // Begin starts to read; the service knows the stream by then, and that its agent is admitted.
  void Begin();
  // StateChanged is of no effect before the agent's hello, which says what it has.
  void StateChanged(Registry::State state);
  // Close ends the stream with a status; the first one counts. The agent hears it after the write
  // under way; nothing that it says is heeded any more.
  void Close(const Status& status);
  // CutIfStuck is called once a second: an agent that does not read must not keep a closed stream.
  void CutIfStuck();
  WallTime expires() const;
  const Attestation& attestation() const { return agent_.attestation; }
  // ViewAt is the view that was sent as of a revision, or null.
  std::shared_ptr<const NodeView> ViewAt(Revision revision) const;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // What a message needs after it was handled.
  Status Handle(const v1::AgentMessage& message);
  Status HandleHello(const v1::Hello& hello);
  void HandleSigning(const v1::SigningRequest& request);
  Status HandleReport(const v1::ProxyReport& report);
  void HandleAck(const v1::Ack& ack);
  void ReadNext();
  // The next three are called with mutex_ held.
  void WriteNext();
  bool PrepareUpdate();
  void FinishNow();

  NodeStreamService& service_;
  grpc::CallbackServerContext& context_;
  const AdmittedAgent agent_;
  const std::string peer_;  // The connection, in gRPC's words.
  bool has_begun_ = false;
  v1::AgentMessage incoming_;  // Of the read under way.
  uint64_t session_ = 0;       // 0 before Hello. Reading side only.
  SvidFacts svid_;             // Reading side only, but for expires_.

  mutable std::mutex mutex_;
  WallTime expires_;           // As all below, guarded by mutex_.
  bool greeted_ = false;       // After Hello.
  Registry::State newest_;     // Null before Hello.
  std::deque<SentView> sent_;  // The last is what the agent has or will have.
  bool first_ = true;          // Nothing was sent yet.
  std::deque<v1::ServerMessage> answers_;
  v1::ServerMessage outgoing_;  // Of the write under way.
  bool writing_ = false;
  bool reading_paused_ = false;
  std::optional<grpc::Status> ending_;
  bool overdue_ = false;  // It was closed a housekeeping ago, with a write under way.
  bool finished_ = false;
};

}  // namespace countersign::server
