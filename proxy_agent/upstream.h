// UpstreamConnection and UpstreamPool: the way from this proxy to an application or to another
// proxy.
//
// A pooled connection is named by everything that made it trustworthy. Two requests share one only
// if all of that is equal, compared by value.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "authz/engine/authorizer.h"
#include "proxy_agent/connection.h"
#include "proxy_agent/door.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/metrics.h"
#include "proxy_agent/registry.h"
#include "proxy_agent/timer_queue.h"
#include "proxy_agent/transport.h"
#include "proxy_agent/waiting.h"

namespace countersign::proxy {

class Worker;

// UpstreamKey is what connections to one upstream have in common.
struct UpstreamKey {
  Address address;
  std::optional<identity::SpiffeId> peer;  // Who must answer; none: the own application, plain.
  uint64_t svid_generation = 0;
  uint64_t bundle_generation = 0;
  std::string_view alpn;  // One of the constants in tls_context.h.
  bool operator==(const UpstreamKey& other) const = default;
};
// UpstreamTarget is a key that borrows, for looking one up.
struct UpstreamTarget {
  const Address* address = nullptr;
  const identity::SpiffeId* peer = nullptr;
  uint64_t svid_generation = 0;
  uint64_t bundle_generation = 0;
  std::string_view alpn;
  UpstreamKey Key() const;
};
struct UpstreamKeyHash {
  using is_transparent = void;
  size_t operator()(const UpstreamKey& key) const {
    return std::hash<std::string>()(key.address.text());
  }
  size_t operator()(const UpstreamTarget& target) const {
    return std::hash<std::string>()(target.address->text());
  }
};
struct UpstreamKeyEqual {
  using is_transparent = void;
  bool operator()(const UpstreamKey& left, const UpstreamKey& right) const { return left == right; }
  bool operator()(const UpstreamTarget& left, const UpstreamKey& right) const;
  bool operator()(const UpstreamKey& left, const UpstreamTarget& right) const {
    return (*this)(right, left);
  }
};

// UpstreamUser is who waits for and then uses an upstream connection: an exchange. It is called in
// this order: OnConnected or OnConnectFailed; then, after Forward, the rest. A cause is for the
// log.
class UpstreamUser {
 public:
  virtual void OnConnected() = 0;
  virtual void OnConnectFailed(UpstreamFailure failure, std::string_view cause) = 0;
  // OnResponse tells one event of the response: kHead, kInterim, kSwitched, kBody, kEnd.
  virtual void OnResponse(http::ClientEvent& event) = 0;
  // OnUpstreamLost: the connection cannot go on; it detaches before this call.
  virtual void OnUpstreamLost(UpstreamFailure failure, std::string_view cause) = 0;
  // OnUpstreamDrained: there is room for more of the request's body.
  virtual void OnUpstreamDrained() = 0;
  // OnUpstreamCut: the proxy itself ended the connection, with the reason; it detached before.
  virtual void OnUpstreamCut(CutReason reason) = 0;

 protected:
  ~UpstreamUser() = default;
};

// UpstreamConnection is one HTTP connection to an upstream, with one user at a time.
class UpstreamConnection final : public Connection,
                                 private Transport::Owner,
                                 private Deadline::Owner,
                                 private Turn::Owner,
                                 private Revisable,
                                 private http::ByteSink {
 public:
  UpstreamConnection(Worker& worker, UpstreamKey key, Fd socket, Waiting::Place waiting);
  ~UpstreamConnection() override;
  Status Start(WeakHandle user);

  // Forward is the only way upstream: it takes a permit, and spends it. Stale permits are refused
  // (false): the request is judged again.
  bool Forward(authz::Permit permit, const http::OutgoingRequest& request, http::End end);
  void SendBody(std::string_view data);
  void SendEnd(std::span<const http::Header> trailers);
  bool Full() const { return transport_->Full(); }
  size_t unsent_bytes() const { return transport_->unsent_bytes(); }
  // CreditResponse lets more of the response's body come.
  void CreditResponse(size_t bytes);
  // Release gives the connection back after a whole response; Abandon closes it.
  void Release();
  void Abandon();

  const UpstreamKey& key() const { return key_; }
  bool connected() const { return state_ == State::kIdle || state_ == State::kBusy; }
  // reused: an earlier exchange used this connection, so its peer may have been closing it.
  bool reused() const { return uses_ > 1; }
  bool ResponseBegun() const;
  void Drain() override;
  void End() override { Abandon(); }

 private:
  friend class UpstreamPool;
  enum class State : uint8_t { kConnecting, kHandshaking, kIdle, kBusy, kClosed };
  void Advance() override;
  void OnDeadline(Deadline& which) override;
  void OnTurn(Turn& /*which*/) override { Advance(); }
  void Revise(const Change& change) override;
  void Write(std::string_view bytes) override { transport_->Write(bytes); }

  void AdvanceConnecting();
  void AdvanceHandshake();
  void BecomeReady();
  void AdvanceIdle();
  void AdvanceBusy();
  // Feed gives bytes to the codec; false if the connection or its use is over.
  bool Feed(std::string_view bytes);
  bool Tell(http::ClientEvent& event);
  void OnInputEnd(http::ClientCodec::CloseKind how);
  void Fail(UpstreamFailure failure, std::string_view cause);
  void Cut(CutReason reason);
  void Close();
  // Silent: nothing has come that nobody asked for.
  bool Silent();
  bool Fresh() const;

  Worker& worker_;
  UpstreamKey key_;
  State state_ = State::kConnecting;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<http::ClientCodec> codec_;
  http::StreamId stream_ = 0;
  WeakHandle user_;
  uint64_t use_ = 0;  // Raised whenever the user changes: tells a callee that it is over.
  size_t uses_ = 0;
  std::string held_;  // Received, but not taken by the codec for want of credit.
  Turn turn_;
  Deadline deadline_;  // Connect, handshake, then idle in the pool.
  Deadline expiry_;    // Of the own or the peer's SVID.
  WallTime retire_at_ = WallTime::max();
  std::optional<WeakHandle> registered_;
  std::optional<Waiting::Place> waiting_;  // Until it is connected.
  MonotonicTime began_;
};

// UpstreamPool keeps a worker's idle upstream connections. They belong to the worker.
class UpstreamPool {
 public:
  explicit UpstreamPool(Worker& worker) : worker_(worker) {}

  // Acquire gives an idle connection, connected, or a new one that will call OnConnected. An error
  // says why none can be made now.
  StatusOr<UpstreamConnection*> Acquire(const UpstreamTarget& target, WeakHandle user);
  // DrainStale closes idle connections of an older SVID or bundle.
  void DrainStale();

 private:
  friend class UpstreamConnection;
  void Put(UpstreamConnection& connection);
  void Forget(UpstreamConnection& connection);

  Worker& worker_;
  std::unordered_map<UpstreamKey, std::vector<UpstreamConnection*>, UpstreamKeyHash,
                     UpstreamKeyEqual>
      idle_;
};

}  // namespace countersign::proxy
