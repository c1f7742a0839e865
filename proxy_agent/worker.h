// Worker: one thread with everything that it alone touches: loop, connections, pools, deadlines,
// the engine's scratch, its audit ring and its counters.
//
// What workers share is one immutable Snapshot, looked at once an event batch. Nothing here takes a
// lock on the data path.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "audit/record/recorder.h"
#include "authz/engine/authorizer.h"
#include "base/published.h"
#include "proxy_agent/audit_trail.h"
#include "proxy_agent/connection.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/limits.h"
#include "proxy_agent/metrics.h"
#include "proxy_agent/peer_places.h"
#include "proxy_agent/registry.h"
#include "proxy_agent/request_log.h"
#include "proxy_agent/router.h"
#include "proxy_agent/snapshot.h"
#include "proxy_agent/timer_queue.h"
#include "proxy_agent/waiting.h"
#include "proxy_agent/worker_io.h"

namespace countersign::proxy {

class Exchange;
class ListeningSocket;
class UpstreamPool;
class UpstreamUser;

// AcceptMetadata is what is known of a connection beside its socket. Transparent redirection and
// PROXY headers fill the optional parts.
struct AcceptMetadata {
  std::shared_ptr<const Door> door;
  Address peer;
  std::optional<Address> original_destination;
};

// Worker belongs to its own thread from Start to Stop; before Start, RunBatch drives it in tests.
class Worker final : private Deadline::Owner {
 public:
  struct Options {
    size_t index = 0;
    size_t workers = 1;
    ProxyLimits limits;
    audit::Recorder::Options recorder;
  };
  static StatusOr<std::unique_ptr<Worker>> Create(const Options& options,
                                                  const Published<Snapshot>& snapshots,
                                                  const Clock& clock);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  // Start runs the loop in a thread; Stop drains, waits at most the linger deadline, and joins.
  void Start();
  void Stop();
  // Wake makes the worker look at the published snapshot. Safe for any thread, as is Ask.
  void Wake();
  void Ask(std::function<void(Worker&)> question);
  void RunBatch() { loop_->RunBatch(); }

  // Adopt takes over a connected socket as if it had been accepted at the door.
  void Adopt(Fd socket, AcceptMetadata metadata);

  // The rest is for the worker's own connections.
  WorkerIo& io() { return io_; }
  EventLoop& loop() { return *loop_; }
  Registry& registry() { return registry_; }
  Router& router() { return router_; }
  UpstreamPool& pool() { return *pool_; }
  WeakTable<UpstreamUser>& upstream_users() { return upstream_users_; }
  authz::Authorizer& authorizer() { return authorizer_; }
  AuditTrail& audit() { return audit_; }
  WorkerMetrics& metrics() { return *metrics_; }
  http::HeadPools& heads() { return heads_; }
  const http::HttpLimits& http_limits() const { return options_.limits.http; }
  const ProxyLimits& limits() const { return options_.limits; }
  HalfOpen& half_open() { return half_open_; }
  PeerPlaces& peer_places() { return peer_places_; }
  Waiting& waiting() { return waiting_; }
  RequestLog& request_log() { return request_log_; }
  // snapshot is never null; its parts may be.
  const Snapshot& snapshot() const { return *snapshot_; }
  // CurrentDoor is what the newest configuration has in place of a door of `origin`'s; null:
  // nothing.
  const Door* CurrentDoor(const Origin& origin, const Door& door) const;
  // CurrentDoorOf is null while nothing changed since the origin's door was looked up.
  std::shared_ptr<const Door> CurrentDoorOf(Origin& origin) const;
  bool MayServe() const { return !stopping_ && snapshot_->MayServe(loop_->wall_now()); }
  bool stopping() const { return stopping_; }
  uint64_t NextConnectionId() { return ++connection_id_; }

  // Own takes a new connection; Bury lets it go at the end of the batch.
  template <class T>
  T& Own(std::unique_ptr<T> connection) {
    T& kept = *connection;
    Keep(std::move(connection));
    return kept;
  }
  void Bury(Connection& connection);
  // CloseOverLimit counts and logs a connection that is closed because of a limit.
  void CloseOverLimit(Limit limit, const std::string& peer, const Door& door);
  size_t connections() const { return connections_.size(); }

  // TakeExchange gives a clean exchange; GiveExchange takes it back for the next request.
  std::unique_ptr<Exchange> TakeExchange();
  void GiveExchange(std::unique_ptr<Exchange> exchange);

 private:
  Worker(const Options& options, const Published<Snapshot>& snapshots, const Clock& clock,
         std::unique_ptr<EventLoop> loop, std::unique_ptr<audit::Recorder> recorder);
  void Keep(std::unique_ptr<Connection> connection);
  void OnBatch();
  void TakeSnapshot();
  void TakeListeners();
  void DrainAll();
  void EndAll();
  void RecordEvent(audit::EventKind kind);
  void OnDeadline(Deadline& which) override;

  Options options_;
  Published<Snapshot>::Reader reader_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<WorkerMetrics> metrics_;
  WorkerIo io_;
  std::shared_ptr<const Snapshot> snapshot_;
  Registry registry_;
  WeakTable<UpstreamUser> upstream_users_;
  authz::Authorizer authorizer_;
  AuditTrail audit_;
  http::HeadPools heads_;
  HalfOpen half_open_;
  PeerPlaces peer_places_;
  Waiting waiting_;
  RequestLog request_log_;
  Router router_;
  std::vector<std::unique_ptr<Exchange>> spare_exchanges_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::unique_ptr<UpstreamPool> pool_;
  std::vector<std::unique_ptr<ListeningSocket>> listening_;
  uint64_t connection_id_ = 0;
  bool stopping_ = false;
  bool stop_ = false;
  Deadline stop_at_{loop_->timers(), *this};
  std::thread thread_;
};

}  // namespace countersign::proxy
