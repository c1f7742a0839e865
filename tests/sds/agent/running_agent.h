// RunningAgent is an agent in the test's process against a FakeServer, with clients of its socket.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "countersign/v1/proxy.grpc.pb.h"
#include "envoy/secret.grpc.pb.h"
#include "sds/agent/agent.h"
#include "spiffe/workload_api.grpc.pb.h"
#include "tests/sds/agent/fake_server.h"
#include "tests/support/temp_dir.h"

namespace countersign::agent {

inline constexpr std::chrono::seconds kPatience{10};

// A call with the Workload API's security header and a deadline.
inline std::unique_ptr<grpc::ClientContext> WorkloadCall() {
  auto call = std::make_unique<grpc::ClientContext>();
  call->AddMetadata("workload.spiffe.io", "true");
  call->set_deadline(std::chrono::system_clock::now() + kPatience);
  return call;
}

class RunningAgent {
 public:
  explicit RunningAgent(const FakeServer& server) : RunningAgent(server.address(), server.pin()) {}
  RunningAgent(std::string address, std::string pin)
      : options_{.trust_domain = *identity::TrustDomain::Parse("shop.example"),
                 .data_dir = dir_.File("data"),
                 .server = std::move(address),
                 .socket = dir_.File("agent.sock"),
                 .audit_socket = "",
                 .audit_dir = "",
                 .join_token = std::string(FakeServer::kToken),
                 .bundle_sha256 = std::move(pin),
                 .selector_mode = SelectorMode::kUnix,
                 .limits = {}} {}

  Status Start() {
    StatusOr<std::unique_ptr<Agent>> agent = Agent::Start(options_, Clock::System(), {});
    if (!agent.ok()) {
      return agent.status();
    }
    agent_ = *std::move(agent);
    return absl::OkStatus();
  }
  void Stop() { agent_.reset(); }
  AgentOptions& options() { return options_; }
  const std::string& data_dir() const { return options_.data_dir; }

  // A connection of its own for each caller.
  std::shared_ptr<grpc::Channel> Connect() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("unix:" + options_.socket, grpc::InsecureChannelCredentials(),
                                     arguments);
  }
  std::unique_ptr<SpiffeWorkloadAPI::Stub> WorkloadApi() const {
    return SpiffeWorkloadAPI::NewStub(Connect());
  }

 private:
  TempDir dir_;
  AgentOptions options_;
  std::unique_ptr<Agent> agent_;
};

// SvidStream is one FetchX509SVID.
class SvidStream {
 public:
  explicit SvidStream(const RunningAgent& agent)
      : stub_(agent.WorkloadApi()),
        call_(WorkloadCall()),
        reader_(stub_->FetchX509SVID(call_.get(), X509SVIDRequest())) {}
  ~SvidStream() {
    call_->TryCancel();
    Drain();
  }
  // Next reads one message; false at the end.
  bool Next() { return reader_->Read(&response); }
  grpc::Status Finish() {
    Drain();
    return *status_;
  }
  X509SVIDResponse response;

 private:
  void Drain() {
    if (!status_) {
      X509SVIDResponse ignored;
      while (reader_->Read(&ignored)) {
      }
      status_ = reader_->Finish();
    }
  }
  std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> call_;
  std::unique_ptr<grpc::ClientReader<X509SVIDResponse>> reader_;
  std::optional<grpc::Status> status_;
};

}  // namespace countersign::agent
