// What the proxy's log says of requests that it refused before policy or could not forward; the
// caller learns nothing of it.
#include <gmock/gmock.h>

#include "tests/proxy_agent/limits_fixture.h"

namespace countersign::proxy {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class RefusalLogTest : public LimitsTest {
 protected:
  // LogOf asks once on a new connection of web's, and gives the answer and what was logged.
  struct Told {
    std::string answer;
    std::string log;
  };
  Told LogOf(const std::string& request) {
    const std::unique_ptr<TestStream> web = As("web");
    EXPECT_NE(web, nullptr);
    testing::internal::CaptureStderr();
    std::string answer = Ask(*web, request);
    return {.answer = std::move(answer), .log = testing::internal::GetCapturedStderr()};
  }
  static std::string Body(const std::string& answer) {
    const size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
  }
  // The decision id alone goes to the caller, and the log says the same one.
  static void ExpectOnlyTheDecision(const Told& told) {
    const std::string body = Body(told.answer);
    ASSERT_THAT(body, ::testing::MatchesRegex("\\{\"decision\":\"[0-9a-f]{32}\"\\}"));
    EXPECT_THAT(told.log, HasSubstr(Concat("decision=\"", body.substr(13, 32), "\"")));
  }
};

TEST_F(RefusalLogTest, AnApplicationWhoseSocketIsNotThereIsNamed) {
  const TempDir dir;
  StartOrdersBefore("unix:" + dir.File("orders.sock"));
  const Told told = LogOf(kGetOrder);
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 503"));
  ExpectOnlyTheDecision(told);
  EXPECT_THAT(told.log,
              AllOf(HasSubstr("request not forwarded"), HasSubstr("reason=\"connect\""),
                    HasSubstr("orders.sock"), HasSubstr("No such file"), HasSubstr("sa/web"),
                    HasSubstr("service=\"orders\""), HasSubstr("path=\"/orders/7\"")));
}

TEST_F(RefusalLogTest, AnApplicationThatRefusesIsNamed) {
  const std::string nobody = FreeAddress();
  StartOrdersBefore(nobody);
  const Told told = LogOf(kGetOrder);
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 503"));
  ExpectOnlyTheDecision(told);
  EXPECT_THAT(told.log, AllOf(HasSubstr(Concat("connect to ", nobody)), HasSubstr("refused")));
}

TEST_F(RefusalLogTest, AnApplicationThatHangsUpIsNamed) {
  StartOrders([](TestStream& stream) {
    std::string head;
    ReadRequest(stream, head);
  });
  const Told told = LogOf("POST /orders/7 HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n");
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 502"));
  ExpectOnlyTheDecision(told);
  EXPECT_THAT(told.log, HasSubstr("cause=\"connection ended before a response\""));
}

TEST_F(RefusalLogTest, AnApplicationThatSpeaksNoHttpIsNamed) {
  StartOrders([](TestStream& stream) {
    std::string head;
    ReadRequest(stream, head);
    stream.Write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    stream.ReadSome();
  });
  const Told told = LogOf(kGetOrder);
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 502"));
  ExpectOnlyTheDecision(told);
  EXPECT_THAT(told.log, AllOf(HasSubstr("reason=\"protocol\""), HasSubstr("bad_")));
}

TEST_F(RefusalLogTest, AResponseThatIsCutShortIsNamed) {
  StartOrders([](TestStream& stream) {
    std::string head;
    ReadRequest(stream, head);
    stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
  });
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  testing::internal::CaptureStderr();
  web->Write(kGetOrder);
  EXPECT_THAT(web->ReadAll(), HasSubstr("half"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("response cut short"), HasSubstr("reason=\"truncated\"")));
}

TEST_F(RefusalLogTest, AnApplicationThatIsSilentIsNamed) {
  limits().idle_deadline = std::chrono::milliseconds(500);
  StartOrders(&NeverAnswer);
  const Told told = LogOf(kGetOrder);
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 504"));
  ExpectOnlyTheDecision(told);
  EXPECT_THAT(told.log, HasSubstr("cause=\"no response in time\""));
}

TEST_F(RefusalLogTest, ATunnelWithoutItsApplicationIsNamed) {
  const std::string nobody = FreeAddress();
  StartOrdersBefore(nobody, "", "tcp");
  const std::unique_ptr<TestStream> web = As("web", "countersign-tcp");
  ASSERT_NE(web, nullptr);
  testing::internal::CaptureStderr();
  web->Write("hello");
  EXPECT_TRUE(web->WaitForEnd());
  // The line may have been written before the capture began; a second connection's is not.
  testing::internal::GetCapturedStderr();
  testing::internal::CaptureStderr();
  const std::unique_ptr<TestStream> again = As("web", "countersign-tcp");
  ASSERT_NE(again, nullptr);
  EXPECT_TRUE(again->WaitForEnd());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("connection not forwarded"), HasSubstr("decision=\""),
                    HasSubstr(Concat("connect to ", nobody))));
}

TEST_F(RefusalLogTest, AHandshakeThatIsRefusedIsNamed) {
  StartOrders();
  // The alert may reach the caller before the line is written; the count comes after it.
  const auto log_of = [&](const TlsIdentity& identity, std::string_view reason) {
    testing::internal::CaptureStderr();
    StatusOr<std::unique_ptr<TestStream>> stream = TestStream::ConnectTls(
        facts_.listen, {.identity = identity, .alpn = {"http/1.1"}, .server_name = ""});
    EXPECT_TRUE(!stream.ok() || (*stream)->WaitForEnd());
    const std::string counter =
        Concat("countersign_proxy_handshake_failures_total{reason=\"", reason, "\"}");
    EXPECT_TRUE(Eventually([&] { return Metric(*orders_, counter) == 1; }));
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_THAT(log_of({}, "no_certificate"),
              AllOf(HasSubstr("TLS handshake refused"), HasSubstr("reason=\"no_certificate\""),
                    HasSubstr("caller=\"127.0.0.1\""), HasSubstr("service=\"orders\"")));
  const std::shared_ptr<const identity::X509Svid> stranger =
      TestCa("other.example").Svid("/ns/prod/sa/web");
  EXPECT_THAT(
      log_of({.chain_pem = stranger->ChainPem(), .key_pem = stranger->KeyPem()}, "peer_refused"),
      AllOf(HasSubstr("reason=\"peer_refused\""), HasSubstr("rule=\"unknown_trust_domain\"")));
}

TEST_F(RefusalLogTest, WhoOnlyLooksWhetherThePortIsOpenIsCountedNotLogged) {
  StartOrders();
  const char* const kHungUp = "countersign_proxy_handshake_failures_total{reason=\"protocol\"}";
  testing::internal::CaptureStderr();
  Plain().reset();
  EXPECT_TRUE(Eventually([&] { return Metric(*orders_, kHungUp) == 1; }));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(RefusalLogTest, AnotherPeerThanTheExpectedOneIsNamed) {
  StartOrders();
  std::string other = Yaml();
  other.replace(other.rfind("sa/orders"), 9, "sa/stores");
  const std::unique_ptr<Proxy> web = StartProxy(ca_, kWeb, other);
  const std::unique_ptr<TestStream> caller = *TestStream::Connect(facts_.reach);
  testing::internal::CaptureStderr();
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("reason=\"handshake\""), HasSubstr("wrong_peer"),
                    HasSubstr(Concat("caller=\"uid ", getuid()))));
}

TEST_F(RefusalLogTest, ATargetWithoutOneFormIsNamedWithTheRuleThatItBreaks) {
  StartOrders();
  const Told told = LogOf("GET /orders%2f7?token=s3cr3t HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(Body(told.answer), "");
  EXPECT_THAT(told.log, AllOf(HasSubstr("request refused"), HasSubstr("reason=\"encoded_slash\""),
                              HasSubstr("path=\"/orders%2f7\""), HasSubstr("sa/web"),
                              Not(HasSubstr("s3cr3t"))));
}

TEST_F(RefusalLogTest, AMalformedRequestIsNamedWithTheRuleThatItBreaks) {
  StartOrders();
  const Told told = LogOf("GET /orders/7 HTTP/1.1\r\nhost: orders\r\nx : 1\r\n\r\n");
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(Body(told.answer), "");
  EXPECT_THAT(told.log,
              AllOf(HasSubstr("request refused"), HasSubstr("reason=\"space_before_colon\""),
                    HasSubstr("sa/web"), HasSubstr("status=\"400\"")));
}

TEST_F(RefusalLogTest, ACallersBytesAreEscapedAndCut) {
  StartOrders();
  const Told told = LogOf(
      Concat("GET /\"\xc3\xa9%2f\\", std::string(4000, 'a'), " HTTP/1.1\r\nhost: orders\r\n\r\n"));
  EXPECT_THAT(told.answer, StartsWith("HTTP/1.1 400"));
  EXPECT_LT(told.log.size(), 1000u);
  for (const char c : told.log) {
    EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << static_cast<int>(c);
  }
}

TEST_F(RefusalLogTest, ManyRefusalsWriteFewLinesAndAreAllCounted) {
  limits().log_lines_per_peer_max = 3;
  StartOrders();
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  testing::internal::CaptureStderr();
  for (int i = 0; i < 20; ++i) {
    ASSERT_THAT(Ask(*web, "GET /orders%2f7 HTTP/1.1\r\nhost: orders\r\n\r\n"),
                StartsWith("HTTP/1.1 400"));
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 3);
  EXPECT_THAT(log, HasSubstr("the log's budget for this minute is spent"));
  EXPECT_EQ(Reached(Limit::kLogLines), 17);
  EXPECT_EQ(Metric(*orders_, "countersign_proxy_ambiguous_targets_total"), 20);
}

TEST_F(RefusalLogTest, AConnectionOverALimitIsNamed) {
  limits().connections_per_peer_max = 1;
  StartOrders();
  const std::unique_ptr<TestStream> first = As("web");
  ASSERT_NE(first, nullptr);
  ASSERT_THAT(Ask(*first), StartsWith("HTTP/1.1 200"));
  testing::internal::CaptureStderr();
  const std::unique_ptr<TestStream> second = As("web");
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(second->WaitForEnd());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("over a limit"), HasSubstr("limit=\"connections_per_peer\""),
                    HasSubstr("sa/web")));
}

}  // namespace
}  // namespace countersign::proxy
