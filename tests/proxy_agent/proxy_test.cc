// Two proxies between a caller and an application, over real sockets.
#include <gmock/gmock.h>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Answers each request with its own head as the body.
void Echo(TestStream& stream) {
  std::string head;
  while (ReadRequest(stream, head)) {
    stream.Write(Concat("HTTP/1.1 200 OK\r\ncontent-length: ", head.size(), "\r\n\r\n", head));
  }
}

class ProxyTest : public ::testing::Test {
 protected:
  ProxyTest() : application_(TestServer::Start("127.0.0.1:0", Echo)) {
    facts_.listen = FreeAddress();
    facts_.reach = FreeAddress();
    facts_.application = application_->address();
  }
  std::string Yaml(const std::string& rules) { return PolicyYaml(rules) + ServiceYaml(facts_); }
  void StartBoth(const std::string& rules) {
    orders_ = StartProxy(ca_, kOrders, Yaml(rules));
    web_ = StartProxy(ca_, kWeb, Yaml(rules));
  }
  std::unique_ptr<TestStream> Caller() {
    StatusOr<std::unique_ptr<TestStream>> stream = TestStream::Connect(facts_.reach);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return *std::move(stream);
  }
  static std::string Get(TestStream& stream, const std::string& path,
                         const std::string& method = "GET") {
    stream.Write(Concat(method, " ", path, " HTTP/1.1\r\nhost: orders\r\n\r\n"));
    return ReadResponse(stream);
  }

  TestCa ca_;
  std::unique_ptr<TestServer> application_;
  ServiceFacts facts_;
  std::unique_ptr<Proxy> orders_;
  std::unique_ptr<Proxy> web_;
};

TEST_F(ProxyTest, AnAllowedRequestReachesTheApplicationWithItsCallersIdentity) {
  StartBoth(kWebReads);
  std::unique_ptr<TestStream> caller = Caller();
  const std::string answer = Get(*caller, "/orders/7?x=1");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("GET /orders/7?x=1 HTTP/1.1\r\nhost: orders\r\n"));
  EXPECT_THAT(answer, HasSubstr(Concat("x-forwarded-client-cert: By=", kOrders, ";Hash=")));
  EXPECT_THAT(answer, HasSubstr(Concat("URI=", kWeb)));
}

TEST_F(ProxyTest, ADeniedRequestLearnsTheDecisionIdAndNothingMore) {
  StartBoth(kWebReads);
  std::unique_ptr<TestStream> caller = Caller();
  const std::string answer = Get(*caller, "/orders/7", "DELETE");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 Forbidden\r\n"));
  const std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_THAT(body, ::testing::MatchesRegex("\\{\"decision\":\"[0-9a-f]{32}\"\\}"));
  EXPECT_EQ(application_->accepted(), 0u);
  // The connection stays: the next request is judged by itself.
  EXPECT_THAT(Get(*caller, "/orders/7"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ProxyTest, KeptConnectionsAreUsedAgainOnBothHops) {
  StartBoth(kWebReads);
  std::unique_ptr<TestStream> caller = Caller();
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(Get(*caller, "/orders/7"), StartsWith("HTTP/1.1 200 OK\r\n"));
  }
  EXPECT_EQ(application_->accepted(), 1u);
  EXPECT_EQ(Metric(*web_, "countersign_proxy_upstream_connections_opened_total"), 1);
}

}  // namespace
}  // namespace countersign::proxy
