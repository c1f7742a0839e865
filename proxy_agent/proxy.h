// Proxy: the program's whole: it takes what the agent sends, publishes snapshots to its workers,
// and answers on the admin port.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "audit/record/ring_handover.h"
#include "base/published.h"
#include "proxy_agent/admin_server.h"
#include "proxy_agent/instance_options.h"
#include "proxy_agent/name_resolver.h"
#include "proxy_agent/snapshot.h"
#include "proxy_agent/worker.h"
#include "sds/client/node_client.h"

namespace countersign::proxy {

// Proxy is safe for any thread. What it is told comes one call at a time (NodeObserver); an error
// refuses it, and what was taken last stays in force.
class Proxy final : public sds::NodeObserver {
 public:
  // Create starts the workers, which serve nothing until identity and configuration are there.
  // `given` are listening sockets that were inherited or received.
  static StatusOr<std::unique_ptr<Proxy>> Create(
      InstanceOptions options, const Clock& clock,
      std::vector<std::shared_ptr<const Listener>> given = {});
  ~Proxy() override;

  Status OnIdentity(std::shared_ptr<const identity::X509Svid> svid,
                    std::shared_ptr<const identity::BundleSet> bundles) override;
  Status OnConfiguration(sds::ProxyConfigSnapshot snapshot) override;

  bool Ready() const;
  // Admin answers /metrics, /ready and /config.
  AdminAnswer Admin(std::string_view path) const;
  // set_on_ready is called once, when the proxy first becomes ready, from the thread that made it
  // so.
  void set_on_ready(std::function<void()> on_ready) { on_ready_ = std::move(on_ready); }
  // Stop ends the workers: idle connections at once, others within the linger deadline.
  void Stop();

  // The snapshot in force, never null; for tests and for handing listeners on.
  std::shared_ptr<const Snapshot> snapshot() const { return snapshots_.Get(); }

 private:
  Proxy(InstanceOptions options, const Clock& clock,
        std::vector<std::shared_ptr<const Listener>> given);
  // Publish hands `next` to the workers. REQUIRES mutex_.
  void Publish(std::shared_ptr<const Snapshot> next);
  Status StartHandover(const std::string& socket);
  // TakeSource makes a configuration of `source`, and waits a little for names that nobody has
  // looked up yet. Take puts what was made in force. REQUIRE taking_.
  Status TakeSource(ConfigurationSource source);
  Status Take(ConfigurationSource source, std::shared_ptr<const Configuration> configuration,
              EndpointNames::Known names);
  // RefreshNames looks up the names of endpoints again, in a thread of its own.
  void RefreshNames();
  void RefreshNamesOnce();
  AdminAnswer AdminConfig() const;
  AdminAnswer AdminMetrics() const;

  const InstanceOptions options_;
  const Clock& clock_;
  Published<Snapshot> snapshots_;
  NameResolver resolver_;

  // Held while a configuration is made, which may take a second and waits for names: neither an
  // SVID nor the admin port waits for it.
  std::mutex taking_;
  // Guarded by taking_.
  std::vector<std::shared_ptr<const Listener>> given_;
  std::string handover_socket_;
  ConfigurationSource source_;  // What is in force was made of it.
  EndpointNames::Known names_;
  bool names_missing_ = false;  // Some have not been answered since they were configured.
  bool stopping_ = false;
  std::condition_variable refresh_;

  mutable std::mutex mutex_;  // Held for a moment: never while anything is waited for.
  // Guarded by mutex_.
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<audit::RingHandover> handover_;
  std::function<void()> on_ready_;
  bool was_ready_ = false;
  uint64_t identity_updates_ = 0;
  uint64_t config_refused_ = 0;
  std::string last_refusal_;

  std::thread refresher_;
};

}  // namespace countersign::proxy
