// R39: what one connection may keep in memory, take of a turn, or make others wait for.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>

#include <future>

#include "tests/proxy_agent/limits_fixture.h"

namespace countersign::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::StartsWith;

// Sends `bytes` until the other side takes nothing for a second; returns how many went.
size_t SendWhileTaken(TestStream& stream, size_t bytes) {
  const std::string block(64 * 1024, 'b');
  size_t sent = 0;
  pollfd wait = {.fd = stream.fd(), .events = POLLOUT, .revents = 0};
  while (sent < bytes && poll(&wait, 1, 1000) == 1) {
    const size_t size = std::min(block.size(), bytes - sent);
    const ssize_t n = send(stream.fd(), block.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n <= 0) {
      break;
    }
    sent += static_cast<size_t>(n);
  }
  return sent;
}

TEST_F(LimitsTest, WhoTakesNothingStopsTheSourceOfItsBytes) {
  limits().out_bytes_max = 64 * 1024;
  constexpr size_t kWhole = 64 * 1024 * 1024;
  std::promise<size_t> went;
  std::promise<void> go_on;
  StartOrders([&](TestStream& stream) {
    std::string head;
    ReadRequest(stream, head);
    stream.Write(Concat("HTTP/1.1 200 OK\r\ncontent-length: ", kWhole, "\r\n\r\n"));
    size_t sent = SendWhileTaken(stream, kWhole);
    went.set_value(sent);
    go_on.get_future().wait();
    while (sent < kWhole) {
      const size_t more = SendWhileTaken(stream, kWhole - sent);
      if (more == 0) {
        return;
      }
      sent += more;
    }
    stream.ReadSome();
  });
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  web->Write(kGetOrder);
  // The kernel's buffers of four sockets hold some megabytes; the proxy next to nothing.
  EXPECT_LT(went.get_future().get(), kWhole / 2);
  EXPECT_GE(Reached(Limit::kOutBytes), 1);
  go_on.set_value();
  const std::string head = web->ReadUntil("\r\n\r\n");
  ASSERT_THAT(head, StartsWith("HTTP/1.1 200"));
  size_t got = head.size() - head.find("\r\n\r\n") - 4;
  while (got < kWhole) {
    const std::string some = web->ReadSome();
    ASSERT_FALSE(some.empty()) << got;
    got += some.size();
  }
  EXPECT_EQ(got, kWhole);
}

TEST_F(LimitsTest, ALargeBodyIsReadInTurns) {
  limits().turn_bytes_max = 4 * 1024;
  const std::string body(1024 * 1024, 'b');
  StartOrders([&](TestStream& stream) {
    std::string head;
    while (ReadRequest(stream, head)) {
      stream.Write(Concat("HTTP/1.1 200 OK\r\ncontent-length: ", body.size(), "\r\n\r\n", body));
    }
  });
  const std::unique_ptr<TestStream> web = As("web");
  ASSERT_NE(web, nullptr);
  EXPECT_EQ(Reached(Limit::kTurnBytes), 0);
  const std::string answer = Ask(*web);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(answer.ends_with(body)) << answer.size();
  EXPECT_GE(Reached(Limit::kTurnBytes), 1);
}

TEST_F(LimitsTest, ABurstOfConnectionsIsTakenInTurns) {
  limits().accepts_per_turn_max = 1;
  StartOrders();
  std::vector<std::unique_ptr<TestStream>> burst;
  for (int i = 0; i < 20; ++i) {
    burst.push_back(Plain());
  }
  EXPECT_TRUE(Eventually([&] { return Metric(*orders_, "countersign_proxy_half_open") == 20; }));
  EXPECT_GE(Reached(Limit::kAcceptsPerTurn), 20);
}

TEST_F(LimitsTest, MoreThanMayWaitForAnUpstreamAreRefusedAtOnce) {
  limits().waiting_max = 1;
  limits().connect_deadline = milliseconds(1500);
  const FullListener nobody;
  StartOrdersBefore(nobody.address());
  const std::unique_ptr<TestStream> first = As("web");
  const std::unique_ptr<TestStream> second = As("web");
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  first->Write(kGetOrder);
  ASSERT_TRUE(
      Eventually([&] { return Metric(*orders_, "countersign_proxy_upstream_connections") == 1; }));
  EXPECT_EQ(Reached(Limit::kWaiting), 0);
  EXPECT_THAT(Ask(*second), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(Reached(Limit::kWaiting), 1);
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_upstream_failures_total{reason="overload"})"), 1);
  EXPECT_EQ(Reached(Limit::kConnectDeadline), 0) << "the first one is still waiting";
  EXPECT_THAT(ReadResponse(*first), StartsWith("HTTP/1.1 503"));
  // Its place is free again: the next one waits to its own deadline.
  EXPECT_THAT(Ask(*second), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(Reached(Limit::kWaiting), 1);
  EXPECT_EQ(Reached(Limit::kConnectDeadline), 2);
}

TEST_F(LimitsTest, TunnelsThatMayNotWaitEndAtOnce) {
  limits().waiting_max = 1;
  limits().connect_deadline = milliseconds(1500);
  const FullListener nobody;
  StartOrdersBefore(nobody.address(), "", "tcp");
  const std::unique_ptr<TestStream> first = As("web", "countersign-tcp");
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(Eventually([&] {
    return Metric(*orders_, "countersign_proxy_upstream_connections_opened_total") == 1;
  }));
  const std::unique_ptr<TestStream> second = As("web", "countersign-tcp");
  ASSERT_NE(second, nullptr);
  EXPECT_TRUE(second->WaitForEnd());
  EXPECT_EQ(Reached(Limit::kWaiting), 1);
  EXPECT_EQ(Reached(Limit::kConnectDeadline), 0);
}

TEST_F(LimitsTest, ABodyOverTheReplayLimitIsNotTriedAgain) {
  size_t asked = 0;
  StartOrders([&](TestStream& stream) {
    while (true) {
      const std::string head = stream.ReadUntil("\r\n\r\n", seconds(60));
      const size_t end = head.find("\r\n\r\n");
      if (end == std::string::npos) {
        return;
      }
      const size_t length = std::stoul(head.substr(head.find("content-length: ") + 16));
      if (head.size() < end + 4 + length) {
        stream.ReadAtLeast(end + 4 + length - head.size());
      }
      stream.Write(++asked % 2 == 1 ? "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
                                    : "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
  });
  InstanceOptions small{.name = "web"};
  small.limits.replay_bytes_max = 4;
  const std::unique_ptr<Proxy> web = StartProxy(ca_, kWeb, Yaml(R"(---
apiVersion: countersign.dev/v1alpha1
kind: Route
metadata: { name: orders }
spec: { service: orders, rules: [{ retry: { on: ['503'], tries: 2 } }] }
)"),
                                                std::chrono::hours(1), std::move(small));
  const std::unique_ptr<TestStream> caller = *TestStream::Connect(facts_.reach);
  const std::string put = "PUT /orders/7 HTTP/1.1\r\nhost: orders\r\ncontent-length: ";
  EXPECT_THAT(Ask(*caller, put + "4\r\n\r\nbody"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(asked, 2u);
  EXPECT_EQ(ReachedBy(*web, Limit::kReplayBytes), 0);
  EXPECT_THAT(Ask(*caller, put + "5\r\n\r\nlarge"), StartsWith("HTTP/1.1 503"));
  EXPECT_EQ(asked, 3u);
  EXPECT_EQ(ReachedBy(*web, Limit::kReplayBytes), 1);
}

TEST_F(LimitsTest, NoMoreIdleUpstreamsAreKeptThanThePoolHolds) {
  limits().pool_idle_max = 1;
  std::promise<void> both;
  std::shared_future<void> both_came = both.get_future().share();
  std::atomic<int> came = 0;
  StartOrders([&](TestStream& stream) {
    std::string head;
    while (ReadRequest(stream, head)) {
      if (++came == 2) {
        both.set_value();
      }
      both_came.wait_for(seconds(20));
      stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
  });
  const std::unique_ptr<TestStream> first = As("web");
  const std::unique_ptr<TestStream> second = As("web");
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  first->Write(kGetOrder);
  second->Write(kGetOrder);
  EXPECT_THAT(ReadResponse(*first), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ReadResponse(*second), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(Eventually([&] { return Reached(Limit::kPoolIdle) == 1; }));
  EXPECT_EQ(Metric(*orders_, "countersign_proxy_upstream_idle"), 1);
  EXPECT_TRUE(
      Eventually([&] { return Metric(*orders_, "countersign_proxy_upstream_connections") == 1; }));
}

TEST_F(LimitsTest, ASweepOverManyTunnelsGoesInTurnsAndReachesAll) {
  limits().sweep_per_turn_max = 1;
  StartOrders(&AnswerOk, "", "tcp");
  std::vector<std::unique_ptr<TestStream>> denied;
  for (int i = 0; i < 5; ++i) {
    denied.push_back(As("billing", "countersign-tcp"));
    ASSERT_NE(denied.back(), nullptr);
    ASSERT_THAT(Ask(*denied.back()), StartsWith("HTTP/1.1 200"));
  }
  const std::unique_ptr<TestStream> allowed = As("web", "countersign-tcp");
  ASSERT_NE(allowed, nullptr);
  ASSERT_THAT(Ask(*allowed), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(Reached(Limit::kSweepPerTurn), 0);
  const std::string web_only = R"(    - name: web
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
)";
  ASSERT_TRUE(
      orders_->OnConfiguration(SnapshotOf(kOrders, PolicyYaml(web_only) + ServiceYaml(facts_), 2))
          .ok());
  for (const std::unique_ptr<TestStream>& stream : denied) {
    EXPECT_TRUE(stream->WaitForEnd());
  }
  EXPECT_THAT(Ask(*allowed), StartsWith("HTTP/1.1 200"));
  EXPECT_GE(Reached(Limit::kSweepPerTurn), 1);
}

}  // namespace
}  // namespace countersign::proxy
