// SdsStream takes a proxy's identity and bundles from the agent over SDS v3, state of the world.
#pragma once

#include <memory>

#include "sds/client/agent_stream.h"
#include "sds/client/node_client.h"
#include "sds/client/proxy_report.h"
#include "sds/client/secret_reader.h"

namespace envoy::service::discovery::v3 {
class DiscoveryRequest;
class DiscoveryResponse;
}  // namespace envoy::service::discovery::v3

namespace countersign::sds {

// SdsStream remembers what was taken last over all its streams. Serve runs on one thread at a time.
class SdsStream {
 public:
  SdsStream(StreamShared shared, std::string instance)
      : shared_(std::move(shared)), instance_(std::move(instance)) {}

  StreamEnd Serve(grpc::ClientContext& context);

 private:
  // Take validates one response and offers it to the observer.
  Status Take(const envoy::service::discovery::v3::DiscoveryResponse& response);

  StreamShared shared_;
  std::string instance_;
  Secrets taken_;    // What was validated last.
  Secrets offered_;  // What the observer accepted last.
};

}  // namespace countersign::sds
