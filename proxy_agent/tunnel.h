// Tunnel: one TCP connection through the proxy, judged before anything is dialled, and again
// whenever its verdict's basis changes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "authz/engine/authorizer.h"
#include "proxy_agent/audit_trail.h"
#include "proxy_agent/connection.h"
#include "proxy_agent/peer_places.h"
#include "proxy_agent/registry.h"
#include "proxy_agent/timer_queue.h"
#include "proxy_agent/transport.h"
#include "proxy_agent/waiting.h"

namespace countersign::proxy {

class Worker;

// Tunnel owns both of its ends and belongs to its worker. Each direction ends by itself.
class Tunnel final : public Connection,
                     private Transport::Owner,
                     private Deadline::Owner,
                     private Turn::Owner,
                     private Revisable {
 public:
  // `caller` is established: after TLS, or plain.
  Tunnel(Worker& worker, Origin origin, std::unique_ptr<Transport> caller, PeerPlaces::Place place);
  ~Tunnel() override;
  // Begin judges, and dials only after an allow.
  void Begin();
  void Drain() override {}  // Tunnels run until their end, an expiry, or the worker's.
  void End() override { Close(CutReason::kShutdown); }

 private:
  enum class State : uint8_t { kConnecting, kHandshaking, kOpen, kClosed };
  void Advance() override;
  void OnTurn(Turn& /*which*/) override { Advance(); }
  void OnDeadline(Deadline& which) override;
  void Revise(const Change& change) override;

  authz::Verdict Judge();
  void DialNext();
  void AdvanceUpstream();
  void NextEndpointOrClose(UpstreamFailure failure, std::string_view cause);
  // Fail counts, logs and ends.
  void Fail(UpstreamFailure failure, std::string_view cause);
  // Forward is the only way upstream: without a permit of today no byte passes.
  void Forward(authz::Permit permit);
  void Relay();
  // Pump moves bytes one way; false if the tunnel broke.
  bool Pump(Transport& from, Transport& to, bool& ended, uint64_t& bytes);
  void SetExpiry(const Transport& transport);
  void Close(CutReason reason);

  Worker& worker_;
  Origin origin_;
  PeerPlaces::Place place_;
  State state_ = State::kConnecting;
  std::unique_ptr<Transport> caller_;
  std::unique_ptr<Transport> upstream_;
  std::optional<Waiting::Place> waiting_;  // While the upstream is being connected.
  authz::CanonicalRequest request_;
  std::optional<authz::Permit> permit_;
  Recorded recorded_;
  authz::Reason reason_ = authz::Reason::kNotReady;
  std::vector<size_t> tried_;  // Outbound: places in the door's own cluster.
  std::string upstream_text_;
  bool caller_ended_ = false;
  bool upstream_ended_ = false;
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
  MonotonicTime began_;
  Turn turn_;
  Deadline deadline_;  // Connect and handshake, then idle.
  Deadline expiry_;
  WeakHandle registered_;
};

}  // namespace countersign::proxy
