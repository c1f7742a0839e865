#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sds/agent/running_agent.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";
constexpr std::string_view kAsProxy = R"("proxy":{"applicationUid":70011})";

std::string ServiceDocument(std::string_view name, std::string_view workload,
                            std::string_view caller) {
  return Concat(
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"Service","metadata":{"name":")", name,
      R"("},"spec":{"workload":{"id":")", workload,
      R"("},"ports":[{"name":"http","protocol":"http","listen":"127.0.0.1:8443","application":"127.0.0.1:8080"}],)",
      R"("endpoints":["127.0.0.1:8443"],"reach":[{"from":[{"id":")", caller,
      R"("}],"listen":"127.0.0.1:18443","port":"http"}]}})");
}

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

class ProxyConfigServiceTest : public ::testing::Test {
 protected:
  void StartAgent() {
    ASSERT_TRUE(agent_.Start().ok());
    ASSERT_TRUE(server_.WaitForAck(v1::Ack::APPLIED, server_.revision()));
  }
  FakeServer server_;
  RunningAgent agent_{server_};
};

TEST_F(ProxyConfigServiceTest, GivesAProxyItsOwnServicesAndThoseItMayReach) {
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId, kAsProxy));
  server_.Put("Service", "web", ServiceDocument("web", kWebId, "spiffe://shop.example/x"));
  server_.Put("Service", "orders", ServiceDocument("orders", "spiffe://shop.example/o", kWebId));
  server_.Put("Service", "secret",
              ServiceDocument("secret", "spiffe://shop.example/s", "spiffe://shop.example/x"));
  StartAgent();
  ConfigStream stream(agent_);
  stream.Hello("web-1");
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.ServiceNames(), ::testing::ElementsAre("orders", "web"));
  EXPECT_EQ(stream.configuration.workload_id(), kWebId);
  EXPECT_EQ(stream.configuration.registration(), "web");
  EXPECT_TRUE(stream.configuration.has_application_uid());
  EXPECT_EQ(stream.configuration.application_uid(), 70011u);
  EXPECT_EQ(stream.configuration.trust_domain(), "shop.example");
  EXPECT_EQ(stream.configuration.node_id(), FakeServer::kAgentId);
}

TEST_F(ProxyConfigServiceTest, PushesAChangeWithAHigherVersion) {
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId, kAsProxy));
  StartAgent();
  ConfigStream stream(agent_);
  stream.Hello("web-1");
  ASSERT_TRUE(stream.Next());
  uint64_t first = stream.configuration.version();
  EXPECT_THAT(stream.ServiceNames(), ::testing::IsEmpty());
  server_.Put("Service", "web", ServiceDocument("web", kWebId, "spiffe://shop.example/x"));
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.ServiceNames(), ::testing::ElementsAre("web"));
  EXPECT_GT(stream.configuration.version(), first);
}

TEST_F(ProxyConfigServiceTest, RefusesACallerThatIsRegisteredButNoProxy) {
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId));
  StartAgent();
  ConfigStream stream(agent_);
  stream.Hello("web-1");
  EXPECT_FALSE(stream.Next());
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ProxyConfigServiceTest, ReportsProxiesToTheServerUntilTheyGo) {
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId, kAsProxy));
  StartAgent();
  {
    ConfigStream stream(agent_);
    stream.Hello("web-1");
    ASSERT_TRUE(stream.Next());
    stream.Take(false);
    ASSERT_TRUE(server_.WaitForReport("web-1", false));
    stream.Take(true);
    ASSERT_TRUE(server_.WaitForReport("web-1", true));
  }
  EXPECT_TRUE(server_.WaitForNoReport());
}

TEST_F(ProxyConfigServiceTest, RefusesAResultBeforeTheHello) {
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId, kAsProxy));
  StartAgent();
  ConfigStream stream(agent_);
  stream.Take(true);
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ProxyConfigServiceTest, RefusesAMessageOverTheLimit) {
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId, kAsProxy));
  StartAgent();
  ConfigStream stream(agent_);
  stream.Hello(std::string(100'000, 'x'));
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace countersign::agent
