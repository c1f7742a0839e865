// ServerConnection: one HTTP connection of a caller, from the end of its handshake to its close.
//
// It drives the codec and gives each request to an Exchange. It judges nothing.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "authz/engine/compiled_policy.h"
#include "proxy_agent/audit_trail.h"
#include "proxy_agent/connection.h"
#include "proxy_agent/exchange.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/peer_places.h"
#include "proxy_agent/registry.h"
#include "proxy_agent/timer_queue.h"
#include "proxy_agent/transport.h"

namespace countersign::proxy {

class Worker;

// ServerConnection belongs to its worker. Exchanges answer through the Send functions.
class ServerConnection final : public Connection,
                               private Transport::Owner,
                               private Deadline::Owner,
                               private Turn::Owner,
                               private Revisable,
                               private http::ByteSink {
 public:
  // The transport is established: after TLS, or plain.
  ServerConnection(Worker& worker, Origin origin, std::unique_ptr<Transport> transport,
                   PeerPlaces::Place place);
  ~ServerConnection() override;
  void Begin() { Advance(); }

  const Origin& origin() const { return origin_; }
  const Door& door() const { return *origin_.door; }
  // peer is null for callers without a verified identity.
  const identity::VerifiedPeer* peer() const;
  std::string_view sni() const;
  // sealed: TLS is spoken on it.
  bool sealed() const { return std::as_const(*transport_).tls() != nullptr; }
  // forwarded_client_cert is the header that tells the application who calls; empty: nobody known.
  const std::string& forwarded_client_cert() const { return forwarded_client_cert_; }
  authz::ConnectionView& view() { return view_; }

  void SendInterim(http::StreamId stream, const http::OutgoingResponse& response);
  void SendHead(http::StreamId stream, const http::OutgoingResponse& response, http::End end);
  // SendWhole is a response of the proxy's own.
  void SendWhole(http::StreamId stream, const http::OutgoingResponse& response,
                 std::string_view body);
  void SendBody(http::StreamId stream, std::string_view data);
  void SendEnd(http::StreamId stream, std::span<const http::Header> trailers);
  void Credit(http::StreamId stream, size_t bytes);
  bool Full() const { return transport_->Full(); }
  size_t unsent_bytes() const { return transport_->unsent_bytes(); }
  // Finished ends the stream after a whole response; Broken cuts it off in the middle.
  void Finished(http::StreamId stream);
  void Broken(http::StreamId stream);
  void Drain() override;
  void End() override { Cut(CutReason::kShutdown); }

 private:
  enum class State : uint8_t { kOpen, kLingering, kClosed };
  void Advance() override;
  void OnTurn(Turn& /*which*/) override { Advance(); }
  void OnDeadline(Deadline& which) override;
  void Revise(const Change& change) override;
  void Write(std::string_view bytes) override { transport_->Write(bytes); }

  void AdvanceOpen();
  void AdvanceLingering();
  // Crammed: the caller does not take its answers, so nothing new is taken from it.
  bool Crammed() const { return exchange_ == nullptr && transport_->Full(); }
  // Feed gives bytes to the codec; false if reading should stop.
  bool Feed(std::string_view bytes);
  bool Tell(http::ServerEvent& event);
  void BeginExchange(http::ServerEvent& event);
  void EndExchange();
  void OnInputEnd(Transport::Io how);
  void RefuseMalformed(http::HttpError error);
  void SetDeadline();
  // Unknown: who shows no identity and asks nothing holds a place for nobody; nor does a probe.
  bool Unknown() const;
  // Cut ends everything at once, with the reason for the record.
  void Cut(CutReason reason);
  void Linger();
  void Close();

  Worker& worker_;
  Origin origin_;
  PeerPlaces::Place place_;
  State state_ = State::kOpen;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<http::ServerCodec> codec_;
  std::unique_ptr<Exchange> exchange_;  // HTTP/1.1: one at a time.
  authz::ConnectionView view_;
  std::string forwarded_client_cert_;
  std::string held_;  // Received, but not taken by the codec yet.
  Turn turn_;
  Deadline deadline_;  // Head or idle; then the linger.
  Deadline expiry_;    // Drain, then cut.
  MonotonicTime cut_at_ = MonotonicTime::max();
  bool in_head_ = false;
  bool asked_ = false;  // A whole head came.
  bool input_ended_ = false;
  bool waits_for_peer_ = true;  // While lingering: for the peer's end, after ours.
  WeakHandle registered_;
};

}  // namespace countersign::proxy
