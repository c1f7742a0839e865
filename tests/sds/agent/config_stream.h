// ConfigStream is a proxy's side of its configuration stream, driven message by message.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/sds/agent/running_agent.h"

namespace countersign::agent {

// ServiceDocument is a Service of `workload` that `caller` may reach.
inline std::string ServiceDocument(std::string_view name, std::string_view workload,
                                   std::string_view caller) {
  return Concat(
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"Service","metadata":{"name":")", name,
      R"("},"spec":{"workload":{"id":")", workload,
      R"("},"ports":[{"name":"http","protocol":"http","listen":"127.0.0.1:8443","application":"127.0.0.1:8080"}],)",
      R"("endpoints":["127.0.0.1:8443"],"reach":[{"from":[{"id":")", caller,
      R"("}],"listen":"127.0.0.1:18443","port":"http"}]}})");
}

// ConfigStream answers nothing by itself.
class ConfigStream {
 public:
  explicit ConfigStream(const RunningAgent& agent)
      : stub_(v1::ProxyConfig::NewStub(agent.Connect())) {
    call_.set_deadline(std::chrono::system_clock::now() + kPatience);
    stream_ = stub_->Stream(&call_);
  }
  ~ConfigStream() {
    call_.TryCancel();
    End();
  }
  void Hello(std::string_view instance) {
    v1::ProxyMessage message;
    message.mutable_hello()->set_instance(std::string(instance));
    stream_->Write(message);
  }
  void Take(bool ready) {
    v1::ProxyMessage message;
    message.mutable_result()->set_config_version(configuration.version());
    message.mutable_result()->set_ready(ready);
    stream_->Write(message);
  }
  bool Next() { return stream_->Read(&configuration); }
  grpc::Status End() {
    if (!status_) {
      v1::ProxyConfiguration ignored;
      while (stream_->Read(&ignored)) {
      }
      status_ = stream_->Finish();
    }
    return *status_;
  }
  std::vector<std::string> ServiceNames() const {
    std::vector<std::string> names;
    for (const v1::Resource& service : configuration.services()) {
      names.push_back(service.name());
    }
    return names;
  }
  v1::ProxyConfiguration configuration;

 private:
  std::unique_ptr<v1::ProxyConfig::Stub> stub_;
  grpc::ClientContext call_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ProxyMessage, v1::ProxyConfiguration>> stream_;
  std::optional<grpc::Status> status_;
};

}  // namespace countersign::agent
