#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sds/agent/config_stream.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";
constexpr std::string_view kAsProxy = R"("proxy":{"applicationUid":70011})";

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
