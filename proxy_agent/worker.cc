#include "proxy_agent/worker.h"

#include <algorithm>

#include "base/log.h"
#include "proxy_agent/arrival.h"
#include "proxy_agent/exchange.h"
#include "proxy_agent/listening_socket.h"
#include "proxy_agent/upstream.h"

namespace countersign::proxy {
namespace {

// Exchanges kept for later requests: as many as commonly run at once.
constexpr size_t kSpareExchangesMax = 256;

}  // namespace

StatusOr<std::unique_ptr<Worker>> Worker::Create(const Options& options,
                                                 const Published<Snapshot>& snapshots,
                                                 const Clock& clock) {
  ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create(clock));
  ASSIGN_OR_RETURN(std::unique_ptr<audit::Recorder> recorder,
                   audit::Recorder::Create(options.recorder, clock));
  return std::unique_ptr<Worker>(
      new Worker(options, snapshots, clock, std::move(loop), std::move(recorder)));
}

Worker::Worker(const Options& options, const Published<Snapshot>& snapshots, const Clock& clock,
               std::unique_ptr<EventLoop> loop, std::unique_ptr<audit::Recorder> recorder)
    : options_(options),
      reader_(snapshots),
      loop_(std::move(loop)),
      metrics_(std::make_unique<WorkerMetrics>()),
      io_(*loop_, clock, options_.limits, *metrics_),
      snapshot_(std::make_shared<const Snapshot>()),
      audit_(std::move(recorder)),
      half_open_(options_.limits),
      peer_places_(options_.limits),
      waiting_(options_.limits),
      request_log_(options_.limits, *metrics_),
      pool_(std::make_unique<UpstreamPool>(*this)) {
  loop_->set_on_batch([this] { OnBatch(); });
  if (reader_.current() != nullptr) {
    TakeSnapshot();
  }
}

Worker::~Worker() {
  Stop();
  listening_.clear();
  // Connections name the loop, the registry and the counters while they go.
  connections_.clear();
  loop_->BuryDead();
}

void Worker::Start() {
  thread_ = std::thread([this] {
    while (!stop_ && !(stopping_ && connections_.empty())) {
      loop_->RunBatch();
    }
    EndAll();
  });
}

void Worker::Stop() {
  if (!thread_.joinable()) {
    return;
  }
  loop_->Post([this] {
    stopping_ = true;
    DrainAll();
  });
  thread_.join();
}

void Worker::DrainAll() {
  for (const std::unique_ptr<ListeningSocket>& socket : listening_) {
    socket->Stop();
  }
  std::vector<Connection*> all;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    all.push_back(connection.get());
  }
  for (Connection* connection : all) {
    connection->Drain();
  }
  stop_at_.Set(loop_->now() + limits().linger_deadline);
  loop_->Post([] {});  // The next batch sees whether anything is left to wait for.
}

void Worker::OnDeadline(Deadline& /*which*/) {
  metrics_->Reached(Limit::kLingerDeadline);
  stop_ = true;
}

void Worker::EndAll() {
  while (!connections_.empty()) {
    const size_t before = connections_.size();
    connections_.back()->End();
    if (connections_.size() == before) {
      Bury(*connections_.back());
    }
  }
  loop_->BuryDead();
  RecordEvent(audit::EventKind::kStop);
}

void Worker::RecordEvent(audit::EventKind kind) {
  const Configuration* configuration = snapshot_->configuration.get();
  audit::EventRecord record;
  record.kind = kind;
  record.time_ns = loop_->wall_now().time_since_epoch().count();
  record.program = "countersign-proxy";
  if (configuration != nullptr) {
    record.node = configuration->node_id();
    record.text = configuration->workload().str();
    record.policies = configuration->policy_versions();
  }
  audit_.recorder().RecordEvent(record);
}

void Worker::Wake() {
  loop_->Post([] {});
}

void Worker::Ask(std::function<void(Worker&)> question) {
  loop_->Post([this, question = std::move(question)] { question(*this); });
}

void Worker::OnBatch() {
  if (reader_.Refresh()) {
    TakeSnapshot();
  }
  audit_.BeginBatch(*metrics_);
  if (registry_.sweeping() && registry_.Sweep(limits().sweep_per_turn_max)) {
    metrics_->Reached(Limit::kSweepPerTurn);
    loop_->Post([] {});  // The next batch goes on with it at once, after this one's traffic.
  }
}

void Worker::TakeSnapshot() {
  const std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, reader_.current());
  const Change change{.policy = before->basis.policy != snapshot_->basis.policy,
                      .bundle = before->basis.bundle != snapshot_->basis.bundle,
                      .svid = before->basis.svid != snapshot_->basis.svid};
  authorizer_.Adopt(snapshot_->Complete() ? snapshot_->configuration->policy() : nullptr,
                    snapshot_->basis);
  if (before->configuration != snapshot_->configuration) {
    audit_.Use(snapshot_->configuration);
    router_.Use(snapshot_->configuration);
    if (snapshot_->configuration != nullptr) {
      RecordEvent(before->configuration == nullptr ? audit::EventKind::kStart
                                                   : audit::EventKind::kPolicyLoaded);
    }
    metrics_->config_version.Set(static_cast<int64_t>(
        snapshot_->configuration == nullptr ? 0 : snapshot_->configuration->version()));
  }
  if (change.svid || change.bundle) {
    pool_->DrainStale();
  }
  if (change.any()) {
    registry_.BeginSweep(change);
  }
  if (before->listeners != snapshot_->listeners) {
    TakeListeners();
  }
}

// A listener that stays keeps its socket, so that no connection that waits on it is lost.
void Worker::TakeListeners() {
  std::vector<std::unique_ptr<ListeningSocket>> next;
  for (const ListenerSet::Entry& entry : snapshot_->listeners->entries()) {
    const auto found = std::find_if(listening_.begin(), listening_.end(), [&](const auto& socket) {
      return socket != nullptr && socket->listener() == entry.listener;
    });
    if (found != listening_.end()) {
      (*found)->set_door(entry.door);
      next.push_back(std::move(*found));
      continue;
    }
    auto socket = std::make_unique<ListeningSocket>(*this, entry);
    if (const Status started = socket->Start(options_.index, options_.workers); started.ok()) {
      next.push_back(std::move(socket));
    } else {
      LogError("listener not started",
               {{"address", entry.listener->address().text()}, {"error", started}});
    }
  }
  for (std::unique_ptr<ListeningSocket>& socket : listening_) {
    if (socket != nullptr) {
      socket->Stop();
      loop_->Bury(std::move(socket));
    }
  }
  listening_ = std::move(next);
}

void Worker::Adopt(Fd socket, AcceptMetadata metadata) {
  if (!MayServe()) {
    metrics_->closed_not_ready.Add();
    return;
  }
  Origin origin{.door = std::move(metadata.door),
                .peer = std::move(metadata.peer),
                .config_generation = snapshot_->config_generation,
                .connection_id = NextConnectionId(),
                .local = std::nullopt};
  if (connections_.size() >= limits().connections_max) {
    return CloseOverLimit(Limit::kConnections, PeerName(origin, nullptr), *origin.door);
  }
  if (origin.door->direction == Direction::kInbound) {
    const std::optional<authz::IpAddress> source = origin.peer.ip();
    if (source.has_value()) {
      if (const std::optional<Limit> refused = half_open_.Enter(*source)) {
        return CloseOverLimit(*refused, PeerName(origin, nullptr), *origin.door);
      }
    }
    Own(std::make_unique<Arrival>(*this, std::move(origin), std::move(socket))).Begin();
    return;
  }
  StatusOr<identity::LocalCaller> caller =
      origin.door->listen.is_unix() ? identity::LocalCaller::FromUnixSocket(socket.get())
                                    : identity::LocalCaller::FromLoopbackSocket(socket.get());
  if (caller.ok()) {
    origin.local = *std::move(caller);
  }
  Arrival::AdoptLocal(*this, std::move(origin), std::move(socket));
}

void Worker::CloseOverLimit(Limit limit, const std::string& peer, const Door& door) {
  metrics_->closed_over_limit.Add();
  metrics_->Reached(limit);
  if (request_log_.May(peer, loop_->now())) {
    request_log_.Write("connection refused: over a limit of this proxy",
                       {{"limit", LimitName(limit)},
                        {"caller", peer},
                        {"service", door.service},
                        {"port", door.name}});
  }
}

const Door* Worker::CurrentDoor(const Origin& origin, const Door& door) const {
  if (snapshot_->configuration == nullptr) {
    return nullptr;
  }
  if (origin.config_generation == snapshot_->config_generation && origin.door.get() == &door) {
    return &door;
  }
  for (const std::shared_ptr<const Door>& current : snapshot_->configuration->doors()) {
    if (current.get() == &door ||
        (current->listen == door.listen && current->direction == door.direction &&
         current->service == door.service && current->name == door.name)) {
      return current.get();
    }
  }
  return nullptr;
}

std::shared_ptr<const Door> Worker::CurrentDoorOf(Origin& origin) const {
  if (snapshot_->configuration == nullptr ||
      snapshot_->config_generation == origin.config_generation) {
    return nullptr;
  }
  const Door* current = CurrentDoor(origin, *origin.door);
  for (const std::shared_ptr<const Door>& door : snapshot_->configuration->doors()) {
    if (door.get() == current) {
      origin.config_generation = snapshot_->config_generation;
      return door;
    }
  }
  return nullptr;  // Closed: the origin stays of its old configuration, so that nobody trusts it.
}

void Worker::Keep(std::unique_ptr<Connection> connection) {
  connection->index_ = connections_.size();
  connections_.push_back(std::move(connection));
}

void Worker::Bury(Connection& connection) {
  const size_t index = connection.index_;
  if (index >= connections_.size() || connections_[index].get() != &connection) {
    return;  // Buried already.
  }
  loop_->Bury(std::move(connections_[index]));
  if (index + 1 != connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index_ = index;
  }
  connections_.pop_back();
}

std::unique_ptr<Exchange> Worker::TakeExchange() {
  if (spare_exchanges_.empty()) {
    return std::make_unique<Exchange>(*this);
  }
  std::unique_ptr<Exchange> exchange = std::move(spare_exchanges_.back());
  spare_exchanges_.pop_back();
  return exchange;
}

void Worker::GiveExchange(std::unique_ptr<Exchange> exchange) {
  if (spare_exchanges_.size() < kSpareExchangesMax) {
    spare_exchanges_.push_back(std::move(exchange));
  }
}

}  // namespace countersign::proxy
