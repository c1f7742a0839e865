// Arrival: a connection between accept and the protocol: told apart, handshaken, then handed on.
#pragma once

#include <memory>
#include <optional>

#include "proxy_agent/audit_trail.h"
#include "proxy_agent/connection.h"
#include "proxy_agent/peer_places.h"
#include "proxy_agent/timer_queue.h"
#include "proxy_agent/tls_engine.h"
#include "proxy_agent/transport.h"

namespace countersign::proxy {

class Worker;

// Arrival belongs to its worker and ends when its connection does, or becomes a ServerConnection or
// a Tunnel.
class Arrival final : public Connection, private Transport::Owner, private Deadline::Owner {
 public:
  Arrival(Worker& worker, Origin origin, Fd socket);
  ~Arrival() override;
  void Begin();
  void Drain() override { Close(); }
  void End() override { Close(); }

  // AdoptLocal takes a connection of the local application, which needs no handshake.
  static void AdoptLocal(Worker& worker, Origin origin, Fd socket);

 private:
  enum class State : uint8_t { kPeek, kHandshake, kEnding, kClosed };
  void Advance() override;
  void OnDeadline(Deadline& which) override;
  bool MayBePlain() const;
  void AdvancePeek();
  void StartTls();
  void AdvanceHandshake();
  void AdvanceEnding();
  // NotAdmitted counts a handshake that failed, and says in the log whose and why.
  void NotAdmitted(TlsFailure why);
  void Refuse();
  // Become hands the connection to its protocol, if its peer may hold one more.
  void Become();
  static void Enter(Worker& worker, Origin origin, std::unique_ptr<Transport> transport,
                    PeerPlaces::Place place);
  void Close();

  Worker& worker_;
  Origin origin_;
  State state_ = State::kPeek;
  std::unique_ptr<Transport> transport_;
  Deadline deadline_;
  MonotonicTime began_;
  std::optional<authz::IpAddress> counted_;  // In the worker's half-open connections.
};

}  // namespace countersign::proxy
