#include <algorithm>

#include "proxy_agent/upstream.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {

UpstreamKey UpstreamTarget::Key() const {
  return {.address = *address,
          .peer = peer == nullptr ? std::nullopt : std::optional<identity::SpiffeId>(*peer),
          .svid_generation = svid_generation,
          .bundle_generation = bundle_generation,
          .alpn = alpn};
}

bool UpstreamKeyEqual::operator()(const UpstreamTarget& left, const UpstreamKey& right) const {
  return *left.address == right.address && (left.peer != nullptr) == right.peer.has_value() &&
         (left.peer == nullptr || *left.peer == *right.peer) &&
         left.svid_generation == right.svid_generation &&
         left.bundle_generation == right.bundle_generation && left.alpn == right.alpn;
}

StatusOr<UpstreamConnection*> UpstreamPool::Acquire(const UpstreamTarget& target, WeakHandle user) {
  if (const auto found = idle_.find(target); found != idle_.end()) {
    while (!found->second.empty()) {
      UpstreamConnection* connection = found->second.back();
      found->second.pop_back();
      worker_.metrics().upstream_idle.Add(-1);
      if (!connection->Fresh()) {
        connection->Close();
        continue;
      }
      connection->deadline_.Clear();
      connection->user_ = user;
      ++connection->uses_;
      worker_.metrics().upstream_reused.Add();
      return connection;
    }
  }
  const ProxyLimits& limits = worker_.limits();
  if (worker_.connections() >= 2 * limits.connections_max) {
    worker_.metrics().Reached(Limit::kConnections);
    return ResourceExhausted("over ", 2 * limits.connections_max, " connections in one worker");
  }
  std::optional<Waiting::Place> waiting = worker_.waiting().Take();
  if (!waiting.has_value()) {
    worker_.metrics().Reached(Limit::kWaiting);
    return ResourceExhausted("over ", limits.waiting_max, " connections are being made already");
  }
  ASSIGN_OR_RETURN(Fd socket, Dial(*target.address));
  UpstreamConnection& made = worker_.Own(std::make_unique<UpstreamConnection>(
      worker_, target.Key(), std::move(socket), *std::move(waiting)));
  worker_.metrics().upstream_opened.Add();
  if (Status started = made.Start(user); !started.ok()) {
    made.Close();
    return started;
  }
  return &made;
}

void UpstreamPool::Put(UpstreamConnection& connection) {
  std::vector<UpstreamConnection*>& list = idle_[connection.key_];
  if (list.size() >= worker_.limits().pool_idle_max) {
    worker_.metrics().Reached(Limit::kPoolIdle);
    return connection.Close();
  }
  if (!connection.Fresh() || worker_.stopping()) {
    return connection.Close();  // A stopping worker ends as soon as its work is done.
  }
  connection.deadline_.Set(worker_.loop().now() + worker_.limits().pool_idle_deadline);
  list.push_back(&connection);
  worker_.metrics().upstream_idle.Add(1);
}

void UpstreamPool::Forget(UpstreamConnection& connection) {
  const auto found = idle_.find(connection.key_);
  if (found == idle_.end()) {
    return;
  }
  const auto at = std::find(found->second.begin(), found->second.end(), &connection);
  if (at != found->second.end()) {
    found->second.erase(at);
    worker_.metrics().upstream_idle.Add(-1);
  }
}

void UpstreamPool::DrainStale() {
  for (auto& [key, list] : idle_) {
    std::vector<UpstreamConnection*> stale;
    std::copy_if(list.begin(), list.end(), std::back_inserter(stale),
                 [](const UpstreamConnection* connection) { return !connection->Fresh(); });
    for (UpstreamConnection* connection : stale) {
      Forget(*connection);
      connection->Close();
    }
  }
  std::erase_if(idle_, [](const auto& entry) { return entry.second.empty(); });
}

}  // namespace countersign::proxy
