// ConfigStream takes a proxy's configuration from the agent and answers for each version.
#pragma once

#include <memory>
#include <string>

#include "sds/client/agent_stream.h"
#include "sds/client/node_client.h"
#include "sds/client/proxy_report.h"

namespace countersign::v1 {
class ProxyConfiguration;
}

namespace countersign::sds {

// ConfigStream reads on the thread that calls Serve and writes on one of its own, so that the
// proxy's reports never wait for the agent.
class ConfigStream {
 public:
  struct Caller {
    std::string instance;
    std::string version;
  };
  ConfigStream(StreamShared shared, Caller caller)
      : shared_(std::move(shared)), caller_(std::move(caller)) {}

  StreamEnd Serve(grpc::ClientContext& context);

 private:
  void Take(const std::shared_ptr<const countersign::v1::ProxyConfiguration>& configuration);
  // Offers the configuration that the host's state refused once more.
  void RetryRefused();
  // With the observer's lock held.
  Status Offer(const std::shared_ptr<const countersign::v1::ProxyConfiguration>& configuration);
  // The agent says that this process is registered as a proxy no more. That is a revocation, not a
  // fault: what was taken must not stay in force.
  void Withdraw(const std::string& why);

  StreamShared shared_;
  Caller caller_;
  // Both guarded by the observer's mutex; null before the first, and after a withdrawal.
  std::shared_ptr<const countersign::v1::ProxyConfiguration> taken_;
  // Null if nothing waits for another try.
  std::shared_ptr<const countersign::v1::ProxyConfiguration> refused_;
};

}  // namespace countersign::sds
