// What becomes of a request whose policy, identity, upstream or configuration changes.
#include <gmock/gmock.h>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// An application that answers each request with its status line, and may be told to be silent.
class Application {
 public:
  explicit Application(std::string answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
      : answer_(std::move(answer)), server_(TestServer::Start("127.0.0.1:0", [this](TestStream& s) {
          std::string head;
          while (ReadRequest(s, head)) {
            if (!answer_.empty()) {
              s.Write(answer_);
            }
          }
        })) {}
  const std::string& address() const { return server_->address(); }
  size_t accepted() const { return server_->accepted(); }

 private:
  std::string answer_;
  std::unique_ptr<TestServer> server_;
};

class ExchangeTest : public ::testing::Test {
 protected:
  void StartWith(const std::string& application, const std::string& further = "") {
    facts_.listen = FreeAddress();
    facts_.reach = FreeAddress();
    facts_.application = application;
    further_ = further;
    orders_ = StartProxy(ca_, kOrders, Yaml(kWebReads));
    web_ = StartProxy(ca_, kWeb, Yaml(kWebReads));
  }
  std::string Yaml(const std::string& rules) {
    return PolicyYaml(rules) + ServiceYaml(facts_) + further_;
  }
  std::unique_ptr<TestStream> Caller() { return *TestStream::Connect(facts_.reach); }
  static std::string Ask(TestStream& stream, const std::string& request = kGet) {
    stream.Write(request);
    return ReadResponse(stream, std::chrono::seconds(10));
  }

  inline static const std::string kGet = "GET /orders/7 HTTP/1.1\r\nhost: orders\r\n\r\n";
  inline static const std::string kWebDenied = R"(    - name: nobody
      effect: deny
      from: anyone
)";
  TestCa ca_;
  ServiceFacts facts_;
  std::string further_;
  std::unique_ptr<Proxy> orders_;
  std::unique_ptr<Proxy> web_;
};

TEST_F(ExchangeTest, TheNextRequestOnAnOpenConnectionIsJudgedByTheNewPolicy) {
  Application application;
  StartWith(application.address());
  std::unique_ptr<TestStream> caller = Caller();
  ASSERT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK"));
  ASSERT_TRUE(orders_->OnConfiguration(SnapshotOf(kOrders, Yaml(kWebDenied), 2)).ok());
  ASSERT_TRUE(
      Eventually([&] { return Metric(*orders_, "countersign_proxy_config_version") == 2; }));
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 403"));
}

TEST_F(ExchangeTest, ARequestUnderWayIsCutWhenItsVerdictFalls) {
  Application silent("");
  StartWith(silent.address());
  std::unique_ptr<TestStream> caller = Caller();
  caller->Write(kGet);
  ASSERT_TRUE(Eventually([&] { return silent.accepted() == 1; }));
  ASSERT_TRUE(orders_->OnConfiguration(SnapshotOf(kOrders, Yaml(kWebDenied), 2)).ok());
  EXPECT_THAT(caller->ReadUntil("}"), HasSubstr("HTTP/1.1 403"));
  EXPECT_TRUE(Eventually([&] {
    return Metric(*orders_, R"(countersign_proxy_cut_total{reason="policy_changed"})") == 1;
  }));
}

TEST_F(ExchangeTest, OnlyTheApplicationsUserMayUseTheWayOut) {
  Application application;
  StartWith(application.address());
  sds::ProxyConfigSnapshot snapshot = SnapshotOf(kWeb, Yaml(kWebReads), 2);
  snapshot.application_uid = getuid() + 1;
  ASSERT_TRUE(web_->OnConfiguration(std::move(snapshot)).ok());
  ASSERT_TRUE(Eventually([&] { return Metric(*web_, "countersign_proxy_config_version") == 2; }));
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(Metric(*web_, "countersign_proxy_upstream_connections_opened_total"), 0);
  EXPECT_EQ(Metric(*web_, R"(countersign_proxy_requests_total{direction="outbound",)"
                          R"(reason="local_caller_refused",class="4xx"})"),
            1);
}

TEST_F(ExchangeTest, WithoutIdentityConnectionsAreAcceptedAndClosed) {
  StatusOr<std::unique_ptr<Proxy>> proxy =
      Proxy::Create(InstanceOptions{.name = "test"}, Clock::System());
  ASSERT_TRUE(proxy.ok());
  Application application;
  facts_ = {.listen = FreeAddress(),
            .application = application.address(),
            .reach = FreeAddress(),
            .endpoints = "",
            .port = ""};
  ASSERT_TRUE((*proxy)->OnConfiguration(SnapshotOf(kWeb, Yaml(kWebReads))).ok());
  EXPECT_FALSE((*proxy)->Ready());
  EXPECT_EQ((*proxy)->Admin("/ready").status, 503);
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_TRUE(caller->WaitForEnd());
  ASSERT_TRUE((*proxy)->OnIdentity(ca_.Svid("/ns/prod/sa/web"), ca_.Bundles()).ok());
  EXPECT_TRUE((*proxy)->Ready());
  EXPECT_EQ((*proxy)->Admin("/ready").status, 200);
}

TEST_F(ExchangeTest, AnIdentityOfAnotherWorkloadServesNothing) {
  Application application;
  StartWith(application.address());
  ASSERT_TRUE(orders_->OnIdentity(ca_.Svid("/ns/prod/sa/other"), ca_.Bundles()).ok());
  EXPECT_FALSE(orders_->Ready());
}

TEST_F(ExchangeTest, AConfigurationWhosePortIsTakenIsRefusedAndTheLastOneStays) {
  Application application;
  StartWith(application.address());
  const std::unique_ptr<TestServer> holder = TestServer::Start("127.0.0.1:0", [](TestStream&) {});
  const ServiceFacts before = facts_;
  facts_.listen = holder->address();
  const Status refused = orders_->OnConfiguration(SnapshotOf(kOrders, Yaml(kWebReads), 2));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(std::string(Message(refused)), HasSubstr(holder->address()));
  facts_ = before;
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(orders_->Admin("/config").body, HasSubstr("lastRefusal"));
}

TEST_F(ExchangeTest, ARotatedSvidIsUsedByNewConnectionsAndIdleOnesAreDrained) {
  Application application;
  StartWith(application.address());
  std::unique_ptr<TestStream> caller = Caller();
  ASSERT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK"));
  ASSERT_TRUE(Eventually([&] { return Metric(*web_, "countersign_proxy_upstream_idle") == 1; }));
  ASSERT_TRUE(web_->OnIdentity(ca_.Svid("/ns/prod/sa/web"), ca_.Bundles()).ok());
  EXPECT_TRUE(Eventually([&] { return Metric(*web_, "countersign_proxy_upstream_idle") == 0; }));
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(Metric(*web_, "countersign_proxy_upstream_connections_opened_total"), 2);
}

TEST_F(ExchangeTest, RequestsSurviveRotationsAndExpiries) {
  Application application;
  StartWith(application.address());
  std::unique_ptr<TestStream> caller = Caller();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  auto rotate = std::chrono::steady_clock::now();
  size_t asked = 0;
  while (std::chrono::steady_clock::now() < end) {
    if (std::chrono::steady_clock::now() >= rotate) {
      const auto life = std::chrono::seconds(2);
      ASSERT_TRUE(web_->OnIdentity(FreshSvid(ca_, "/ns/prod/sa/web", life), ca_.Bundles()).ok());
      ASSERT_TRUE(
          orders_->OnIdentity(FreshSvid(ca_, "/ns/prod/sa/orders", life), ca_.Bundles()).ok());
      rotate += std::chrono::seconds(1);
    }
    ASSERT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK")) << "request " << asked;
    ++asked;
  }
  EXPECT_GT(asked, 20u);
}

TEST_F(ExchangeTest, ADeadEndpointCostsNoRequestWhileAnotherLives) {
  Application application;
  const std::string dead = FreeAddress();
  facts_.endpoints = "";
  StartWith(application.address());
  facts_.endpoints = Concat("'", dead, "', '", facts_.listen, "'");
  ASSERT_TRUE(web_->OnConfiguration(SnapshotOf(kWeb, Yaml(kWebReads), 2)).ok());
  std::unique_ptr<TestStream> caller = Caller();
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK"));
  }
}

TEST_F(ExchangeTest, EndpointsThatMoveAreFoundByTheirName) {
  Application application;
  StartWith(application.address());
  std::mutex mutex;
  std::vector<Address> here = {*Address::Parse(FreeAddress())};
  InstanceOptions options{.name = "test"};
  options.names_period = std::chrono::milliseconds(20);
  options.lookup = [&](const std::string& name) {
    EXPECT_EQ(name, "orders.shop.internal:8443");
    const std::lock_guard lock(mutex);
    return here;
  };
  StatusOr<std::unique_ptr<Proxy>> web = Proxy::Create(options, Clock::System());
  ASSERT_TRUE(web.ok()) << web.status();
  ASSERT_TRUE((*web)->OnIdentity(ca_.Svid("/ns/prod/sa/web"), ca_.Bundles()).ok());
  facts_.endpoints = "{ port: main, dns: 'orders.shop.internal:8443' }";
  facts_.reach = FreeAddress();
  ASSERT_TRUE((*web)->OnConfiguration(SnapshotOf(kWeb, Yaml(kWebReads), 2)).ok());
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 503"));
  {
    const std::lock_guard lock(mutex);
    here = {*Address::Parse(facts_.listen)};
  }
  EXPECT_TRUE(Eventually([&] { return Ask(*caller).starts_with("HTTP/1.1 200"); }));
  {
    const std::lock_guard lock(mutex);
    here.clear();  // The resolver fails: what is known stays.
  }
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200"));
  }
}

TEST_F(ExchangeTest, A503IsTriedAgainWhereTheRouteSaysSo) {
  size_t asked = 0;
  const std::unique_ptr<TestServer> flaky = TestServer::Start("127.0.0.1:0", [&](TestStream& s) {
    std::string head;
    while (ReadRequest(s, head)) {
      s.Write(++asked % 2 == 1 ? "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
                               : "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
  });
  StartWith(flaky->address(), R"(---
apiVersion: countersign.dev/v1alpha1
kind: Route
metadata: { name: orders }
spec:
  service: orders
  rules:
    - timeout: { request: 5s }
      retry: { on: ['503'], tries: 2, budget: 20% }
)");
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 200 OK"));
  // A POST may have had its effect: the 503 is its answer.
  EXPECT_THAT(Ask(*caller, "POST /orders/7 HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 503"));
}

TEST_F(ExchangeTest, ASilentUpstreamEndsInATimeOutOfTheRoute) {
  Application silent("");
  StartWith(silent.address(), R"(---
apiVersion: countersign.dev/v1alpha1
kind: Route
metadata: { name: orders }
spec: { service: orders, rules: [{ timeout: { request: 300ms } }] }
)");
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_THAT(Ask(*caller), StartsWith("HTTP/1.1 504"));
}

TEST_F(ExchangeTest, AnEndpointThatHangsIsPassedOver) {
  Application application;
  StartWith(application.address());
  const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid("/ns/prod/sa/orders");
  auto tls = std::make_unique<TlsOptions>();
  tls->identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()};
  tls->alpn = {"http/1.1"};
  const std::unique_ptr<TestServer> hangs = TestServer::Start(
      "127.0.0.1:0", [](TestStream& stream) { stream.ReadAll(std::chrono::minutes(1)); },
      std::move(tls));
  facts_.endpoints = Concat("'", hangs->address(), "', '", facts_.listen, "'");
  further_ = R"(---
apiVersion: countersign.dev/v1alpha1
kind: Route
metadata: { name: orders }
spec: { service: orders, rules: [{ timeout: { request: 700ms } }] }
)";
  ASSERT_TRUE(web_->OnConfiguration(SnapshotOf(kWeb, Yaml(kWebReads), 2)).ok());
  ASSERT_TRUE(Eventually([&] { return Metric(*web_, "countersign_proxy_config_version") == 2; }));
  // By turns every second request would wait in vain.
  std::unique_ptr<TestStream> caller = Caller();
  int in_a_row = 0;
  int lost = 0;
  for (int i = 0; i < 40 && in_a_row < 4; ++i) {
    const bool answered = Ask(*caller).starts_with("HTTP/1.1 200");
    in_a_row = answered ? in_a_row + 1 : 0;
    lost += answered ? 0 : 1;
  }
  EXPECT_EQ(in_a_row, 4);
  EXPECT_GE(lost, 2) << "one time-out may be a slow request";
}

TEST_F(ExchangeTest, TrailersOfARequestEndAtTheProxy) {
  const std::unique_ptr<TestServer> mirror = TestServer::Start("127.0.0.1:0", [](TestStream& s) {
    const std::string head = s.ReadUntil("\r\n\r\n");
    const size_t at = head.find("\r\n\r\n") + 4;
    s.Unread(head.substr(at));
    const std::string got = head.substr(0, at) + s.ReadUntil("\r\n\r\n");
    s.Write(Concat("HTTP/1.1 200 OK\r\ncontent-length: ", got.size(), "\r\n\r\n", got));
    s.ReadSome();
  });
  StartWith(mirror->address());
  std::unique_ptr<TestStream> caller = Caller();
  const std::string answer =
      Ask(*caller,
          "POST /orders/7 HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\n"
          "4\r\nbody\r\n0\r\nx-role: admin\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, HasSubstr("4\r\nbody\r\n0\r\n\r\n"));
  EXPECT_THAT(answer, ::testing::Not(HasSubstr("x-role")));
}

TEST_F(ExchangeTest, BytesBehindAFullBufferAnswerNobody) {
  // One response that fills the proxy's read to its end, with another one behind it.
  const std::string head = "HTTP/1.1 200 OK\r\ncontent-length: ";
  const size_t body = 64 * 1024 - head.size() - 5 - 4;
  const std::string both =
      Concat(head, body, "\r\n\r\n", std::string(body, 'a'), head, "4\r\n\r\nevil");
  const std::unique_ptr<TestServer> poisoner = TestServer::Start("127.0.0.1:0", [&](TestStream& s) {
    std::string asked;
    while (ReadRequest(s, asked)) {
      s.Write(asked.find("/bad") != std::string::npos
                  ? both
                  : "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood");
    }
  });
  StartWith(poisoner->address());
  for (int i = 0; i < 20; ++i) {
    std::unique_ptr<TestStream> caller = Caller();
    ASSERT_THAT(Ask(*caller, "GET /orders/bad HTTP/1.1\r\nhost: orders\r\n\r\n"),
                StartsWith("HTTP/1.1 200 OK"));
    ASSERT_THAT(Ask(*caller), HasSubstr("good"));
  }
}

TEST_F(ExchangeTest, BodiesPassWholeInBothDirections) {
  const std::string body(1'500'000, 'b');
  const std::unique_ptr<TestServer> mirror = TestServer::Start("127.0.0.1:0", [&](TestStream& s) {
    const std::string head = s.ReadUntil("\r\n\r\n");
    const size_t at = head.find("\r\n\r\n") + 4;
    std::string got = head.substr(at);
    if (got.size() < body.size()) {
      got += s.ReadAtLeast(body.size() - got.size(), std::chrono::seconds(20));
    }
    s.Write(Concat("HTTP/1.1 200 OK\r\ncontent-length: ", got.size(), "\r\n\r\n", got));
    s.ReadSome();
  });
  StartWith(mirror->address());
  std::unique_ptr<TestStream> caller = Caller();
  std::thread writer([&] {
    caller->Write(Concat("POST /orders/7 HTTP/1.1\r\nhost: orders\r\ncontent-length: ", body.size(),
                         "\r\n\r\n", body));
  });
  writer.join();
  const std::string head = caller->ReadUntil("\r\n\r\n", std::chrono::seconds(20));
  ASSERT_THAT(head, StartsWith("HTTP/1.1 200 OK"));
  const size_t at = head.find("\r\n\r\n") + 4;
  std::string got = head.substr(at);
  if (got.size() < body.size()) {
    got += caller->ReadAtLeast(body.size() - got.size(), std::chrono::seconds(20));
  }
  EXPECT_TRUE(got == body) << got.size();
}

TEST_F(ExchangeTest, AStrictPortRefusesWhatItCannotRecord) {
  Application application;
  facts_.port = ", audit: strict";
  facts_.listen = FreeAddress();
  facts_.reach = FreeAddress();
  facts_.application = application.address();
  StatusOr<std::unique_ptr<Proxy>> strict = Proxy::Create(
      InstanceOptions{.name = "test", .audit_ring_bytes = 64 * 1024}, Clock::System());
  ASSERT_TRUE(strict.ok());
  ASSERT_TRUE((*strict)->OnIdentity(ca_.Svid("/ns/prod/sa/orders"), ca_.Bundles()).ok());
  ASSERT_TRUE((*strict)->OnConfiguration(SnapshotOf(kOrders, Yaml(kWebReads))).ok());
  web_ = StartProxy(ca_, kWeb, Yaml(kWebReads));
  std::unique_ptr<TestStream> caller = Caller();
  std::string answer;
  // Nobody reads the ring: it fills up.
  for (int i = 0; i < 1000 && !answer.starts_with("HTTP/1.1 503"); ++i) {
    answer = Ask(*caller);
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503"));
  EXPECT_TRUE(Eventually([&] {
    return Metric(**strict, R"(countersign_proxy_audit_records{state="refused"})") >= 1;
  }));
}

}  // namespace
}  // namespace countersign::proxy
