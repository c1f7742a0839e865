#include "proxy_agent/proxy.h"

#include "base/log.h"

namespace countersign::proxy {
namespace {

ConfigurationSource SourceOf(sds::ProxyConfigSnapshot snapshot) {
  ConfigurationSource source;
  source.version = snapshot.version;
  source.workload_id = std::move(snapshot.workload_id);
  source.application_uid = snapshot.application_uid;
  for (sds::NodeDocument& document : snapshot.services) {
    source.services.push_back(std::move(document.json));
  }
  for (sds::NodeDocument& document : snapshot.routes) {
    source.routes.push_back(std::move(document.json));
  }
  for (sds::NodePolicySet& set : snapshot.policy_sets) {
    source.policy_sets.push_back({.name = std::move(set.set),
                                  .version = set.version,
                                  .digest = std::move(set.digest),
                                  .documents = std::move(set.documents)});
  }
  source.node_id = std::move(snapshot.node_id);
  source.audit_socket = std::move(snapshot.audit_socket);
  return source;
}

}  // namespace

StatusOr<std::unique_ptr<Proxy>> Proxy::Create(InstanceOptions options, const Clock& clock,
                                               std::vector<std::shared_ptr<const Listener>> given) {
  std::unique_ptr<Proxy> proxy(new Proxy(std::move(options), clock, std::move(given)));
  const size_t count = proxy->options_.workers;
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker,
                     Worker::Create({.index = i,
                                     .workers = count,
                                     .limits = proxy->options_.limits,
                                     .recorder = {.name = Concat(proxy->options_.name, "-", i),
                                                  .ring_bytes = proxy->options_.audit_ring_bytes}},
                                    proxy->snapshots_, clock));
    worker->Start();
    proxy->workers_.push_back(std::move(worker));
  }
  proxy->refresher_ = std::thread([raw = proxy.get()] { raw->RefreshNames(); });
  return proxy;
}

Proxy::Proxy(InstanceOptions options, const Clock& clock,
             std::vector<std::shared_ptr<const Listener>> given)
    : options_(std::move(options)),
      clock_(clock),
      snapshots_(std::make_shared<const Snapshot>()),
      resolver_(options_.lookup),
      given_(std::move(given)) {}

Proxy::~Proxy() { Stop(); }

void Proxy::Stop() {
  // The rings stay with the agent until the last completion is written. All workers at once: each
  // waits up to the linger deadline for what is under way, and must not take new work meanwhile.
  std::vector<std::thread> stops;
  for (const std::unique_ptr<Worker>& worker : workers_) {
    stops.emplace_back([&worker] { worker->Stop(); });
  }
  for (std::thread& stop : stops) {
    stop.join();
  }
  resolver_.Stop();
  {
    std::lock_guard lock(taking_);
    stopping_ = true;
  }
  refresh_.notify_all();
  if (refresher_.joinable()) {
    refresher_.join();
  }
  std::lock_guard lock(mutex_);
  handover_.reset();
}

void Proxy::RefreshNames() {
  std::unique_lock lock(taking_);
  while (!stopping_) {
    refresh_.wait_for(lock, options_.names_period, [this] { return stopping_ || names_missing_; });
    lock.unlock();
    RefreshNamesOnce();
    lock.lock();
  }
}

void Proxy::RefreshNamesOnce() {
  EndpointNames::Known before;
  {
    std::lock_guard lock(taking_);
    before = names_;
    names_missing_ = false;
  }
  std::vector<std::string> names;
  for (const auto& [name, addresses] : before) {
    names.push_back(name);
  }
  // A resolver takes its time: no lock is held meanwhile. A name without an answer keeps its
  // addresses: whoever is there must still prove to be the service.
  EndpointNames::Known found = before;
  for (auto& [name, addresses] : resolver_.LookUp(names, std::nullopt)) {
    if (!addresses.empty()) {
      found[name] = std::move(addresses);
    }
  }
  std::lock_guard lock(taking_);
  if (stopping_ || found == before || names_ != before) {
    return;  // Nothing moved, or a configuration came meanwhile.
  }
  LogInfo("endpoints moved", {{"names", found.size()}});
  names_ = std::move(found);
  if (const Status taken = TakeSource(source_); !taken.ok()) {
    LogWarning("configuration not made again", {{"error", taken}});
  }
}

Status Proxy::OnIdentity(std::shared_ptr<const identity::X509Svid> svid,
                         std::shared_ptr<const identity::BundleSet> bundles) {
  std::lock_guard lock(mutex_);
  const std::shared_ptr<const Snapshot> before = snapshots_.Get();
  ASSIGN_OR_RETURN(
      std::shared_ptr<const OwnIdentity> identity,
      OwnIdentity::Create(std::move(svid), std::move(bundles), before->identity.get()));
  auto next = std::make_shared<Snapshot>(*before);
  next->basis.svid = identity->svid_generation();
  next->basis.bundle = identity->bundle_generation();
  LogInfo("identity taken", {{"id", identity->svid().id().str()},
                             {"serial", identity->svid().serial()},
                             {"not_after", FormatTime(identity->svid().not_after())}});
  next->identity = std::move(identity);
  ++identity_updates_;
  Publish(std::move(next));
  return absl::OkStatus();
}

Status Proxy::OnConfiguration(sds::ProxyConfigSnapshot snapshot) {
  std::lock_guard taking(taking_);
  const uint64_t version = snapshot.version;
  Status taken = TakeSource(SourceOf(std::move(snapshot)));
  if (!taken.ok()) {
    LogWarning("configuration refused", {{"version", version}, {"error", taken}});
    std::lock_guard lock(mutex_);
    ++config_refused_;
    last_refusal_ = std::string(Message(taken));
  }
  return taken;
}

Status Proxy::TakeSource(ConfigurationSource source) {
  EndpointNames names(names_);
  ASSIGN_OR_RETURN(std::shared_ptr<const Configuration> configuration,
                   Configuration::Create(source, options_, names));
  if (names.unknown().empty()) {
    return Take(std::move(source), std::move(configuration), names.known());
  }
  EndpointNames::Known known = names.known();
  const EndpointNames::Known found = resolver_.LookUp(names.unknown(), options_.names_patience);
  for (const auto& [name, addresses] : found) {
    known[name] = addresses;
  }
  if (found.size() < names.unknown().size()) {
    LogWarning("endpoint names not resolved in time; looked up further",
               {{"names", names.unknown().size() - found.size()}});
    names_missing_ = true;
    refresh_.notify_all();
  }
  EndpointNames now(known);
  ASSIGN_OR_RETURN(configuration, Configuration::Create(source, options_, now));
  return Take(std::move(source), std::move(configuration), now.known());
}

Status Proxy::Take(ConfigurationSource source, std::shared_ptr<const Configuration> configuration,
                   EndpointNames::Known names) {
  ASSIGN_OR_RETURN(std::shared_ptr<const ListenerSet> listeners,
                   ListenerSet::Create(configuration->doors(), options_.workers,
                                       snapshots_.Get()->listeners.get(), given_));
  std::lock_guard lock(mutex_);
  RETURN_IF_ERROR(StartHandover(source.audit_socket));
  given_.clear();  // What no door wanted is closed.
  const std::shared_ptr<const Snapshot> before = snapshots_.Get();
  auto next = std::make_shared<Snapshot>(*before);
  next->config_generation = before->config_generation + 1;
  next->basis.policy = next->config_generation;
  LogInfo("configuration taken", {{"version", configuration->version()},
                                  {"doors", configuration->doors().size()},
                                  {"policy", configuration->policy()->digest()}});
  next->configuration = std::move(configuration);
  next->listeners = std::move(listeners);
  names_ = std::move(names);
  source_ = std::move(source);
  Publish(std::move(next));
  return absl::OkStatus();
}

Status Proxy::StartHandover(const std::string& socket) {
  if (socket.empty() || (handover_ != nullptr && socket == handover_socket_)) {
    return absl::OkStatus();
  }
  std::vector<audit::RingHandover::Ring> rings;
  for (const std::unique_ptr<Worker>& worker : workers_) {
    rings.push_back(
        {.writer = &worker->audit().recorder().ring(), .name = worker->audit().recorder().name()});
  }
  audit::RingHandover::Options options;
  options.socket_path = socket;
  ASSIGN_OR_RETURN(handover_, audit::RingHandover::Start(options, rings));
  handover_socket_ = socket;
  return absl::OkStatus();
}

void Proxy::Publish(std::shared_ptr<const Snapshot> next) {
  const bool ready = next->MayServe(clock_.Now());
  snapshots_.Publish(std::move(next));
  for (const std::unique_ptr<Worker>& worker : workers_) {
    worker->Wake();
  }
  if (ready && !was_ready_) {
    was_ready_ = true;
    LogInfo("ready", {{"instance", options_.name}, {"workers", workers_.size()}});
    if (on_ready_) {
      on_ready_();
    }
  }
}

bool Proxy::Ready() const { return snapshots_.Get()->MayServe(clock_.Now()); }

}  // namespace countersign::proxy
