// FakeAgent is a gRPC server on a Unix socket that says what a test tells it to and keeps what it
// hears. It stands for the agent in tests of the client side.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "countersign/v1/proxy.grpc.pb.h"
#include "envoy/secret.grpc.pb.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

namespace countersign::sds {

using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

// Mailbox hands values from one thread to another; Take waits ten seconds at most.
template <class T>
class Mailbox {
 public:
  void Put(T value) {
    std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  std::optional<T> Take(std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, patience, [this] { return !values_.empty(); })) {
      return std::nullopt;
    }
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
};

// ServedStream is one open stream as the test sees it. After End nothing more is sent.
template <class In, class Out>
struct ServedStream {
  Mailbox<In> heard;
  Mailbox<std::optional<Out>> to_say;  // nullopt ends the stream.
  void Say(Out message) { to_say.Put(std::move(message)); }
  void End() { to_say.Put(std::nullopt); }
};

// FakeAgent serves until it goes; streams that are open then are cancelled.
class FakeAgent {
 public:
  using SecretStream = ServedStream<DiscoveryRequest, DiscoveryResponse>;
  using ConfigStream = ServedStream<v1::ProxyMessage, v1::ProxyConfiguration>;

  explicit FakeAgent(const std::string& socket);
  ~FakeAgent();

  // The next stream that a client opened.
  std::shared_ptr<SecretStream> NextSecretStream();
  std::shared_ptr<ConfigStream> NextConfigStream();

 private:
  class Secrets;
  class Config;
  std::unique_ptr<Secrets> secrets_;
  std::unique_ptr<Config> config_;
  std::unique_ptr<grpc::Server> server_;
};

// SvidResource and BundlesResource are secrets as the agent sends them.
google::protobuf::Any SvidResource(const identity::X509Svid& svid);
google::protobuf::Any BundlesResource(const identity::BundleSet& bundles);
struct Stamp {
  std::string version;
  std::string nonce;
};
DiscoveryResponse ResponseWith(const Stamp& stamp, std::vector<google::protobuf::Any> resources);

}  // namespace countersign::sds
