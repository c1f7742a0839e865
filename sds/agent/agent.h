// The agent of one node, put together: what the server pushes, the SVIDs of the node, the socket.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "audit/log/collector.h"
#include "base/clock.h"
#include "base/log_budget.h"
#include "base/published.h"
#include "sds/agent/attestation_client.h"
#include "sds/agent/data_folder.h"
#include "sds/agent/event_loop.h"
#include "sds/agent/exe_digests.h"
#include "sds/agent/hub.h"
#include "sds/agent/node_stream_client.h"
#include "sds/agent/proxy_table.h"
#include "sds/agent/svid_keeper.h"
#include "sds/agent/workload_attestor.h"

namespace countersign::agent {

class SocketService;

struct AgentOptions {
  identity::TrustDomain trust_domain;
  std::string data_dir;
  std::string server;
  std::string socket;
  std::string audit_socket;  // Told to proxies; empty: no audit.
  std::string audit_dir;
  std::string join_token;     // Empty: only an attested data folder will do.
  std::string bundle_sha256;  // Goes with the token.
  SelectorMode selector_mode = SelectorMode::kUnix;
  AgentLimits limits;
};

// Agent decides on its event loop's thread; see each part for its own. It works from its data
// folder while the server is away.
class Agent final : private NodeStreamObserver {
 public:
  // Start attests the node if need be (it tries until `stop` while the server cannot be reached),
  // serves the socket and keeps the stream. `clock` outlives the agent.
  static StatusOr<std::unique_ptr<Agent>> Start(AgentOptions options, const Clock& clock,
                                                std::stop_token stop);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  const identity::SpiffeId& id() const { return id_; }

 private:
  Agent(AgentOptions options, const Clock& clock, DataFolder folder,
        std::unique_ptr<EventLoop> loop, Joined self);
  static StatusOr<Joined> LoadOrJoin(const AgentOptions& options, const Clock& clock,
                                     DataFolder& folder, const std::stop_token& stop);
  Status LoadWork();
  Status StartAudit();
  Status Serve();
  void SetTrusted();

  // NodeStreamObserver, on the stream's thread.
  Greeting OnConnecting() override;
  void OnConnected() override;
  void OnUpdate(const v1::Update& update) override;
  void OnSigned(const SigningAnswer& answer) override;
  void OnDisconnected(const Status& why) override;

  // The loop's thread.
  void Tick();
  void ApplyUpdate(const v1::Update& update);
  void TakeState(std::shared_ptr<const NodeState> state);
  void PersistState();
  void TakeAnswer(const SigningAnswer& answer);
  void AskForSvids();
  void PublishView();
  void ReportTaken();
  void WarnOfOwnExpiry(WallTime now);
  identity::PeerVerifier Verifier() const;

  const AgentOptions options_;
  const Clock& clock_;
  const identity::SpiffeId id_;
  DataFolder folder_;
  std::unique_ptr<EventLoop> loop_;

  // Loop's thread only, after Start.
  std::shared_ptr<const NodeState> state_;  // Null before the first update ever.
  bool state_unsaved_ = false;
  MonotonicTime save_retry_at_;
  SvidKeeper keeper_;
  std::map<std::string, StoredSvid> stored_svids_;  // Of an earlier process; until the first state.
  identity::TrustBundle own_bundle_;                // As stored in the folder.
  std::shared_ptr<const identity::BundleSet> trusted_;
  bool connected_ = false;
  bool resync_ = false;  // The next connection asks for everything.
  std::string told_;     // Why the stream was lost, as last logged.
  bool own_expiry_told_ = false;
  uint64_t view_version_ = 0;
  bool view_stale_ = false;
  size_t view_svids_ = 0;  // How many SVIDs the view has; with fewer left it is made anew.
  struct Awaited {
    uint64_t view_version;
    Revision revision;
  };
  std::deque<Awaited> awaited_;  // Durable revisions not yet taken by all subscribers.
  std::optional<Revision> applied_;
  std::optional<Revision> taken_;

  Published<NodeState> published_state_;  // For the threads that accept.
  StreamSlots slots_;
  LogBudget refusals_;
  ProxyTable proxies_;
  Hub hub_;  // Its subscribers use the slots and the table until they go.
  ExeDigests digests_;
  WorkloadAttestor attestor_;
  NodeStreamClient stream_;
  std::unique_ptr<SocketService> socket_;
  std::unique_ptr<audit::AuditCollector> audit_;
};

}  // namespace countersign::agent
