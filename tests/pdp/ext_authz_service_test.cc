// ext_authz over real gRPC, on a Unix socket and on a port.
#include "pdp/ext_authz_service.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "envoy/ext_authz.grpc.pb.h"
#include "pdp/pdp_server.h"
#include "tests/pdp/pdp_folder.h"

namespace countersign::pdp {
namespace {

namespace wire = envoy::service::auth::v3;

class ExtAuthzServiceTest : public testing::Test {
 protected:
  void Start(const std::string& address) {
    folder_.Write("shop.yaml", kShop);
    PdpOptions options;
    options.policies = folder_.policies();
    options.grpc = *ListenAddress::Parse(address);
    options.ext_authz.workload = *identity::SpiffeId::Parse(kOrders);
    auto server = PdpServer::Start(std::move(options), Clock::System());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ =
        grpc::CreateChannel(server_->grpc_address()->text(), grpc::InsecureChannelCredentials());
    stub_ = wire::Authorization::NewStub(channel_);
  }
  grpc::Status Check(const wire::CheckRequest& request, wire::CheckResponse& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return stub_->Check(&context, request, &response);
  }
  static wire::CheckRequest Request(std::string_view method) {
    wire::CheckRequest request;
    request.mutable_attributes()->mutable_source()->mutable_principal()->assign(kWeb);
    auto& http = *request.mutable_attributes()->mutable_request()->mutable_http();
    http.mutable_method()->assign(method);
    http.set_path("/orders/7");
    return request;
  }
  void ExpectAllowAndDeny() {
    wire::CheckResponse allow;
    ASSERT_TRUE(Check(Request("GET"), allow).ok());
    EXPECT_EQ(allow.status().code(), 0);
    EXPECT_EQ(allow.ok_response().headers(0).header().key(), "x-countersign-decision");
    wire::CheckResponse deny;
    ASSERT_TRUE(Check(Request("PUT"), deny).ok());
    EXPECT_EQ(deny.denied_response().status().code(), 403);
  }

  PdpFolder folder_;
  std::unique_ptr<PdpServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<wire::Authorization::Stub> stub_;
};

TEST_F(ExtAuthzServiceTest, AnswersOnAUnixSocketThatItRemovesAtTheEnd) {
  const std::string path = folder_.File("authz.sock");
  Start(Concat("unix:", path));
  ExpectAllowAndDeny();
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
  server_->Stop();
  EXPECT_FALSE(std::filesystem::exists(path));
  wire::CheckResponse response;
  EXPECT_FALSE(Check(Request("GET"), response).ok());
}

TEST_F(ExtAuthzServiceTest, AnswersOnALoopbackPortThatNobodyElseCanTakeMeanwhile) {
  Start("127.0.0.1:0");
  ExpectAllowAndDeny();
  PdpOptions second;
  second.policies = folder_.policies();
  second.grpc = *server_->grpc_address();
  second.ext_authz.workload = *identity::SpiffeId::Parse(kOrders);
  const auto refused = PdpServer::Start(std::move(second), Clock::System());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(Message(refused.status())), testing::HasSubstr("the port is in use"));
}

// A failed call is what failure_mode_allow would turn into an allow.
TEST_F(ExtAuthzServiceTest, AMessageThatCannotBeReadOrIsTooLongIsADenialAndNoFailedCall) {
  Start(Concat("unix:", folder_.File("authz.sock")));
  grpc::GenericStub generic(channel_);
  for (const std::string& bytes :
       {std::string("\x0a\xff\xff\xff\xff\x0f"),
        std::string(PdpLimits{}.message_bytes_max + 1, 'x'), std::string("\0", 1)}) {
    const grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    auto call = generic.PrepareUnaryCall(&context, "/envoy.service.auth.v3.Authorization/Check",
                                         request, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    ASSERT_TRUE(status.ok()) << status.error_message();
    grpc::Slice answer;
    ASSERT_TRUE(response.DumpToSingleSlice(&answer).ok());
    wire::CheckResponse parsed;
    ASSERT_TRUE(parsed.ParseFromArray(answer.begin(), static_cast<int>(answer.size())));
    EXPECT_EQ(parsed.status().code(), 7);
    EXPECT_EQ(parsed.denied_response().status().code(), 403);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
  }
}

TEST_F(ExtAuthzServiceTest, ManyCallsAtOnceAreAllAnswered) {
  Start(Concat("unix:", folder_.File("authz.sock")));
  std::vector<std::thread> callers;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([this, &right] {
      for (int call = 0; call < 50; ++call) {
        wire::CheckResponse response;
        const bool get = call % 2 == 0;
        const grpc::Status status = Check(Request(get ? "GET" : "PUT"), response);
        right += status.ok() && (response.status().code() == 0) == get ? 1 : 0;
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_EQ(right, 400);
}

}  // namespace
}  // namespace countersign::pdp
