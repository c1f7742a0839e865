// ServerTest is a fixture with a server as agents and administrators meet it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crypto/hash.h"
#include "base/file.h"
#include "countersign/v1/admin.grpc.pb.h"
#include "identity/server/server_main.h"
#include "tests/identity/server/test_agent.h"
#include "tests/support/temp_dir.h"

namespace countersign::server {

inline constexpr const char* kDocuments = R"(
apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: { name: web }
spec:
  id: spiffe://shop.example/ns/prod/sa/web
  nodes: [{ id: spiffe://shop.example/agent/node-1 }]
  selectors: { unix: { uid: 70010 } }
  svid: { ttl: 30m }
---
apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: { name: elsewhere }
spec:
  id: spiffe://shop.example/ns/prod/sa/elsewhere
  nodes: [{ id: spiffe://shop.example/agent/node-2 }]
  selectors: { unix: { uid: 70012 } }
)";

inline std::string OneRegistration(std::string_view name) {
  return Concat(R"(
apiVersion: countersign.dev/v1alpha1
kind: Registration
metadata: { name: )",
                name, R"( }
spec:
  id: spiffe://shop.example/ns/prod/sa/)",
                name, R"(
  nodes: [{ id: spiffe://shop.example/agent/node-1 }]
  selectors: { unix: { uid: 70020 } }
)");
}

class ServerTest : public testing::Test {
 protected:
  void SetUp() override { StartServer(); }
  void StartServer() {
    ServerOptions options;
    options.trust_domain = "shop.example";
    options.data_dir = folder_.File("data");
    options.listen = "127.0.0.1:0";
    options.admin_socket = folder_.File("admin.sock");
    options.agent_svid_ttl = agent_ttl_;
    options.store_pages_max = store_pages_max_;
    options.node_places = node_places_;
    auto server = Server::Start(options, Clock::System());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    admin_ = v1::Admin::NewStub(grpc::CreateChannel("unix:" + folder_.File("admin.sock"),
                                                    grpc::InsecureChannelCredentials()));
  }
  // One administration call, with a deadline.
  template <class Response, class Method, class Request>
  Response Call(Method method, const Request& request, grpc::Status* status = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    Response response;
    grpc::Status result = (admin_.get()->*method)(&context, request, &response);
    if (status != nullptr) {
      *status = result;
    } else {
      EXPECT_TRUE(result.ok()) << result.error_message();
    }
    return response;
  }
  v1::ApplyResponse Apply(const std::string& yaml) {
    v1::ApplyRequest request;
    request.add_files()->set_path("test.yaml");
    request.mutable_files(0)->set_content(yaml);
    auto response = Call<v1::ApplyResponse>(&v1::Admin::Stub::Apply, request);
    for (const v1::Diagnostic& one : response.diagnostics()) {
      EXPECT_NE(one.severity(), v1::Diagnostic::ERROR) << one.message();
    }
    return response;
  }
  grpc::Status Delete(const std::string& kind, const std::string& name) {
    v1::DeleteRequest request;
    request.add_keys()->set_kind(kind);
    request.mutable_keys(0)->set_name(name);
    grpc::Status status;
    Call<v1::DeleteResponse>(&v1::Admin::Stub::Delete, request, &status);
    return status;
  }
  std::string Token(const std::string& node) {
    v1::CreateJoinTokenRequest request;
    request.set_node(node);
    token_ = Call<v1::CreateJoinTokenResponse>(&v1::Admin::Stub::CreateJoinToken, request);
    return token_.token();
  }
  std::shared_ptr<const identity::X509Svid> Join(const std::string& node) {
    Attested attested = Attest(server_->port(), Token(node));
    EXPECT_TRUE(attested.status.ok()) << attested.status.error_message();
    return attested.svid;
  }
  v1::AgentStatus OnlyAgent() {
    auto agents =
        Call<v1::ListAgentsResponse>(&v1::Admin::Stub::ListAgents, v1::ListAgentsRequest());
    return agents.agents().size() == 1 ? agents.agents(0) : v1::AgentStatus();
  }
  // Looks again until `holds`, at most 20 s.
  template <class Predicate>
  static bool Eventually(Predicate holds) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
      std::this_thread::yield();
    }
    return true;
  }
  static std::vector<std::string> Names(const v1::Update& update) {
    std::vector<std::string> names;
    for (const v1::Resource& resource : update.upsert()) {
      names.push_back(resource.kind() + "/" + resource.name());
    }
    return names;
  }

  TempDir folder_;
  uint64_t store_pages_max_ = 0;
  NodePlaceLimits node_places_;
  std::chrono::nanoseconds agent_ttl_ = std::chrono::hours(1);
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::Admin::Stub> admin_;
  v1::CreateJoinTokenResponse token_;
};

}  // namespace countersign::server
