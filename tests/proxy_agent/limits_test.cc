// R39: deadlines and counts. Each limit is lowered; at it everything passes, beyond it the proxy
// closes or refuses, and counts that it did.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/proxy_agent/limits_fixture.h"

namespace countersign::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::StartsWith;

TEST_F(LimitsTest, HandshakeDeadlineEndsWhoIsSilent) {
  limits().handshake_deadline = milliseconds(800);
  StartOrders();
  EXPECT_TRUE(Served());
  EXPECT_EQ(Reached(Limit::kHandshakeDeadline), 0);
  const std::unique_ptr<TestStream> silent = Plain();
  EXPECT_TRUE(silent->WaitForEnd(seconds(4))) << "the default is five seconds";
  EXPECT_TRUE(Eventually([&] { return Reached(Limit::kHandshakeDeadline) == 1; }));
}

TEST_F(LimitsTest, HeadDeadlineEndsAHeadThatDribbles) {
  limits().head_deadline = milliseconds(300);
  StartOrders();
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(Reached(Limit::kHeadDeadline), 0);
  web->Write("GET /orders/7 HTTP/1.1\r\nho");
  EXPECT_THAT(ReadResponse(*web, seconds(8)), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(Reached(Limit::kHeadDeadline), 1);
}

TEST_F(LimitsTest, IdleDeadlineEndsAKeptConnectionThatAsksNothing) {
  limits().idle_deadline = milliseconds(500);
  StartOrders();
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(web->WaitForEnd());
  EXPECT_TRUE(web->clean_end());
  EXPECT_GE(Reached(Limit::kIdleDeadline), 1);
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_cut_total{reason="idle"})"), 1);
}

TEST_F(LimitsTest, IdleDeadlineEndsARequestThatStandsStill) {
  limits().idle_deadline = milliseconds(500);
  StartOrders(&NeverAnswer);
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 504"));
  EXPECT_EQ(Reached(Limit::kIdleDeadline), 1);
}

TEST_F(LimitsTest, IdleDeadlineEndsATunnelThatStandsStill) {
  limits().idle_deadline = milliseconds(500);
  StartOrders(&AnswerOk, "", "tcp");
  const std::unique_ptr<TestStream> web = As("web", "countersign-tcp");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(web->WaitForEnd());
  EXPECT_EQ(Reached(Limit::kIdleDeadline), 1);
}

TEST_F(LimitsTest, ConnectDeadlineEndsADialThatNobodyAnswers) {
  limits().connect_deadline = milliseconds(300);
  const FullListener nobody;
  StartOrdersBefore(nobody.address());
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(Reached(Limit::kConnectDeadline), 1);
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_upstream_failures_total{reason="connect"})"), 1);
}

TEST_F(LimitsTest, ConnectDeadlineEndsATunnelsDialToo) {
  limits().connect_deadline = milliseconds(300);
  const FullListener nobody;
  StartOrdersBefore(nobody.address(), "", "tcp");
  const std::unique_ptr<TestStream> web = As("web", "countersign-tcp");
  ASSERT_NE(web, nullptr);
  EXPECT_TRUE(web->WaitForEnd());
  EXPECT_EQ(Reached(Limit::kConnectDeadline), 1);
}

TEST_F(LimitsTest, RequestDeadlineEndsARequestHoweverItsBodyDribbles) {
  limits().request_deadline = milliseconds(600);
  StartOrders(&NeverAnswer);
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  web->Write("POST /orders/7 HTTP/1.1\r\nhost: orders\r\ncontent-length: 100000\r\n\r\n");
  // Something moves all the time, so that no idle deadline ever comes.
  std::string answer;
  const auto until = std::chrono::steady_clock::now() + seconds(15);
  while (answer.empty() && std::chrono::steady_clock::now() < until) {
    web->Write("x");
    answer = web->ReadSome(milliseconds(20));
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 504"));
  EXPECT_EQ(Reached(Limit::kRequestDeadline), 1);
}

TEST_F(LimitsTest, RequestDeadlineIsNoneOfATunnels) {
  limits().request_deadline = milliseconds(300);
  StartOrders(&AnswerOk, "", "tcp");
  const std::unique_ptr<TestStream> web = As("web", "countersign-tcp");
  ASSERT_NE(web, nullptr);
  const auto until = std::chrono::steady_clock::now() + milliseconds(900);
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(Reached(Limit::kRequestDeadline), 0);
}

TEST_F(LimitsTest, LingerDeadlineEndsWhoDoesNotTakeTheEnd) {
  limits().linger_deadline = milliseconds(300);
  StartOrders();
  const std::string last = "GET /orders/7 HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";
  const auto open = [&] {
    return Metric(*orders_, R"(countersign_proxy_connections{direction="inbound"})");
  };
  {
    const std::unique_ptr<TestStream> polite = As("web");
    ASSERT_NE(polite, nullptr);
    EXPECT_THAT(Ask(*polite, last), StartsWith("HTTP/1.1 200"));
    EXPECT_TRUE(polite->WaitForEnd());
    polite->ShutdownWrite();
  }
  EXPECT_TRUE(Eventually([&] { return open() == 0; }));
  const double before = Reached(Limit::kLingerDeadline);
  const std::unique_ptr<TestStream> stays = As("web");
  ASSERT_NE(stays, nullptr);
  EXPECT_THAT(Ask(*stays, last), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(Eventually([&] { return Reached(Limit::kLingerDeadline) == before + 1; }));
  EXPECT_TRUE(Eventually([&] { return open() == 0; })) << "it is closed without the peer's end";
}

TEST_F(LimitsTest, PoolIdleDeadlineEndsAnUpstreamThatNobodyNeeds) {
  limits().pool_idle_deadline = milliseconds(400);
  StartOrders();
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(application_->accepted(), 1u);
  EXPECT_TRUE(Eventually([&] { return Reached(Limit::kPoolIdleDeadline) == 1; }));
  EXPECT_TRUE(
      Eventually([&] { return Metric(*orders_, "countersign_proxy_upstream_connections") == 0; }));
  EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200"));
}

TEST_F(LimitsTest, ConnectionsOfAWorkerAreCapped) {
  limits().connections_max = 3;
  StartOrders();
  std::vector<std::unique_ptr<TestStream>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(As("web"));
    ASSERT_NE(held.back(), nullptr) << i;
    ASSERT_TRUE(Eventually([&] {
      return Metric(*orders_, R"(countersign_proxy_connections{direction="inbound"})") == i + 1;
    }));
  }
  EXPECT_EQ(Reached(Limit::kConnections), 0);
  EXPECT_EQ(As("web"), nullptr);
  EXPECT_EQ(Reached(Limit::kConnections), 1);
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_closed_at_accept_total{reason="over_limit"})"),
            1);
  EXPECT_THAT(Ask(*held.front()), StartsWith("HTTP/1.1 200")) << "who is in finds an upstream";
  held.clear();
  EXPECT_TRUE(Eventually([&] { return Served(); }));
}

TEST_F(LimitsTest, OnePeersConnectionsAreCappedAndNobodyElses) {
  limits().connections_per_peer_max = 2;
  StartOrders();
  std::unique_ptr<TestStream> first = As("web");
  const std::unique_ptr<TestStream> second = As("web");
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_THAT(Ask(*first), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(*second), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(Reached(Limit::kConnectionsPerPeer), 0);
  const std::unique_ptr<TestStream> third = As("web");  // Who it is shows with the handshake.
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(Ask(*third), "");
  EXPECT_TRUE(third->WaitForEnd());
  EXPECT_EQ(Reached(Limit::kConnectionsPerPeer), 1);
  EXPECT_TRUE(Served("billing")) << "another peer of the same address has places of its own";
  EXPECT_THAT(Ask(*first), StartsWith("HTTP/1.1 200"));
  first.reset();
  EXPECT_TRUE(Eventually([&] { return Served(); })) << "a place is given back";
}

TEST_F(LimitsTest, OnePeersTunnelsAreCapped) {
  limits().connections_per_peer_max = 1;
  StartOrders(&AnswerOk, "", "tcp");
  std::unique_ptr<TestStream> first = As("web", "countersign-tcp");
  ASSERT_NE(first, nullptr);
  EXPECT_THAT(Ask(*first), StartsWith("HTTP/1.1 200"));
  const std::unique_ptr<TestStream> second = As("web", "countersign-tcp");
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(second->WaitForEnd());
  EXPECT_EQ(application_->accepted(), 1u) << "nothing was dialled for it";
  first.reset();
  EXPECT_TRUE(Eventually([&] {
    const std::unique_ptr<TestStream> again = As("web", "countersign-tcp");
    return again != nullptr && Ask(*again).starts_with("HTTP/1.1 200");
  }));
}

TEST_F(LimitsTest, AnAddressWithoutIdentityIsCappedToo) {
  limits().connections_per_peer_max = 1;
  StartOrders(&AnswerOk, ", tls: edge");
  const StatusOr<std::unique_ptr<TestStream>> first = TestStream::ConnectTls(facts_.listen, {});
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Ask(**first), StartsWith("HTTP/1.1 403")) << "policy knows nobody without identity";
  const StatusOr<std::unique_ptr<TestStream>> second = TestStream::ConnectTls(facts_.listen, {});
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE((*second)->WaitForEnd());
  EXPECT_EQ(Reached(Limit::kConnectionsPerPeer), 1);
  EXPECT_TRUE(Served("web")) << "who shows an identity is counted by it";
}

TEST_F(LimitsTest, ALocalUserHoldsNoMoreOfTheWayOut) {
  StartOrders();
  InstanceOptions few{.name = "web"};
  few.limits.connections_per_peer_max = 2;
  const std::unique_ptr<Proxy> web =
      StartProxy(ca_, kWeb, Yaml(), std::chrono::hours(1), std::move(few));
  std::vector<std::unique_ptr<TestStream>> held;
  for (int i = 0; i < 2; ++i) {
    held.push_back(*TestStream::Connect(facts_.reach));
    EXPECT_THAT(Ask(*held.back()), StartsWith("HTTP/1.1 200"));
  }
  const std::unique_ptr<TestStream> third = *TestStream::Connect(facts_.reach);
  EXPECT_TRUE(third->WaitForEnd());
  EXPECT_EQ(ReachedBy(*web, Limit::kConnectionsPerPeer), 1);
  EXPECT_THAT(Ask(*held.front()), StartsWith("HTTP/1.1 200"));
}

TEST_F(LimitsTest, HalfOpenConnectionsOfOneSourceAreCapped) {
  limits().half_open_per_source_max = 2;
  StartOrders();
  std::unique_ptr<TestStream> first = Plain();
  const std::unique_ptr<TestStream> second = Plain();
  ASSERT_TRUE(Eventually([&] { return Metric(*orders_, "countersign_proxy_half_open") == 2; }));
  EXPECT_EQ(Reached(Limit::kHalfOpenPerSource), 0);
  EXPECT_TRUE(Plain()->WaitForEnd(seconds(3)));
  EXPECT_EQ(Reached(Limit::kHalfOpenPerSource), 1);
  EXPECT_EQ(Reached(Limit::kHalfOpen), 0);
  first.reset();
  EXPECT_TRUE(Eventually([&] { return Served(); }));
}

TEST_F(LimitsTest, HalfOpenConnectionsOfAllSourcesAreCapped) {
  limits().half_open_max = 2;
  StartOrders();
  std::unique_ptr<TestStream> first = Plain();
  const std::unique_ptr<TestStream> second = Plain();
  ASSERT_TRUE(Eventually([&] { return Metric(*orders_, "countersign_proxy_half_open") == 2; }));
  EXPECT_TRUE(Plain()->WaitForEnd(seconds(3)));
  EXPECT_EQ(Reached(Limit::kHalfOpen), 1);
  first.reset();
  EXPECT_TRUE(Eventually([&] { return Served(); }));
}

TEST_F(LimitsTest, WithoutDescriptorsConnectionsEndInsteadOfWaiting) {
  StartOrders();
  // It listens before descriptors run out, and nothing that ends meanwhile gives one back.
  const std::unique_ptr<TestStream> stays = As("web");
  ASSERT_NE(stays, nullptr);
  ASSERT_THAT(Ask(*stays), StartsWith("HTTP/1.1 200"));
  std::vector<Fd> callers;
  for (int i = 0; i < 2; ++i) {
    callers.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 256;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<Fd> taken;
  while (true) {
    Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) {
      break;
    }
    taken.push_back(std::move(fd));
  }
  const Address address = *Address::Parse(facts_.listen);
  for (const Fd& caller : callers) {
    EXPECT_EQ(connect(caller.get(), address.native(), address.native_size()), 0);
    pollfd wait = {.fd = caller.get(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&wait, 1, 10'000), 1) << "it waits unanswered";
    char byte = 0;
    EXPECT_LE(recv(caller.get(), &byte, 1, 0), 0);
  }
  taken.clear();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(Eventually([&] { return Reached(Limit::kDescriptors) == 2; }));
  EXPECT_TRUE(Served());
}

TEST_F(LimitsTest, KeyUpdatesHaveABudget) {
  limits().key_updates_max = 2;
  StartOrders();
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(SSL_key_update(web->native(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    EXPECT_THAT(Ask(*web), StartsWith("HTTP/1.1 200")) << i;
  }
  EXPECT_EQ(Reached(Limit::kKeyUpdates), 0);
  ASSERT_EQ(SSL_key_update(web->native(), SSL_KEY_UPDATE_NOT_REQUESTED), 1);
  EXPECT_EQ(Ask(*web), "");
  EXPECT_TRUE(Eventually([&] { return Reached(Limit::kKeyUpdates) == 1; }));
  EXPECT_TRUE(Served());
}

TEST_F(LimitsTest, HttpLimitsAreTheWorkersOwn) {
  limits().http.headers_max = 3;
  StartOrders();
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Ask(*web, "GET /orders/7 HTTP/1.1\r\nhost: orders\r\na: 1\r\nb: 2\r\n\r\n"),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(*web, "GET /orders/7 HTTP/1.1\r\nhost: orders\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_malformed_total{error="too_many_headers"})"), 1);
}

}  // namespace
}  // namespace countersign::proxy
