// R13 to R15 in a proxy of two workers that both hold connections: a sweep or a rotation that
// reached one of them alone is not enough.
#include <gtest/gtest.h>

#include <functional>

#include "tests/proxy_agent/rules/proxy_fixture.h"
#include "tests/support/worker_of.h"

namespace countersign {
namespace {

using std::chrono::seconds;

constexpr const char* kWebAndBatch =
    "- name: both\n"
    "  effect: allow\n"
    "  from: [{ id: spiffe://shop.example/web }, { id: spiffe://shop.example/batch }]\n";

// What two workers hold: one connection each.
using Pair = std::vector<std::unique_ptr<TestStream>>;

class TwoWorkersTest : public ProxyTest {
 protected:
  TwoWorkersTest() { flags_ = {"--workers", "2"}; }

  // OnBoth dials until each worker holds one of the connections. The kernel spreads them: that all
  // of so many fall to one worker is less likely than one in 10^18.
  Pair OnBoth(const std::function<std::unique_ptr<TestStream>()>& dial) {
    Pair pair;
    std::optional<int> first;
    for (int i = 0; i < 64 && pair.size() < 2; ++i) {
      std::unique_ptr<TestStream> stream = dial();
      const std::optional<int> worker =
          stream == nullptr ? std::nullopt : WorkerOf(proxy_->pid(), *stream);
      EXPECT_TRUE(worker.has_value()) << "nobody watches the connection";
      if (worker.has_value() && (pair.empty() || worker != first)) {
        first = worker;
        pair.push_back(std::move(stream));
      }
    }
    EXPECT_EQ(pair.size(), 2u) << "one worker got all";
    return pair;
  }
  Pair HttpOnBoth(const std::string& path) {
    return OnBoth([&] {
      std::unique_ptr<TestStream> stream = Dial(Identity(path));
      if (stream != nullptr) {
        EXPECT_EQ(Ask(*stream, Get("/")).status, 200);  // It is accepted by then.
      }
      return stream;
    });
  }
  Pair TunnelsOnBoth(const std::string& path) {
    return OnBoth([&] {
      std::unique_ptr<TestStream> stream = DialTcp(Identity(path));
      if (stream != nullptr) {
        EXPECT_EQ(stream->ReadUntil("\n"), "welcome\n");
      }
      return stream;
    });
  }
  // BecomesDenied asks again until the answer is 403.
  static bool BecomesDenied(TestStream& stream) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    int status = 200;
    while (status == 200 && std::chrono::steady_clock::now() < until) {
      status = Ask(stream, Get("/")).status;
    }
    return status == 403;
  }
};

// Greets, then sends back what it gets.
std::unique_ptr<TestServer> EchoServer(const std::string& address) {
  return TestServer::Start(address, [](TestStream& stream) {
    stream.Write("welcome\n");
    std::string some = stream.ReadSome(std::chrono::minutes(1));
    while (!some.empty() && stream.Write(some)) {
      some = stream.ReadSome(std::chrono::minutes(1));
    }
  });
}

TEST_F(TwoWorkersTest, RuleR13ConnectionsOfEachWorkerEndWithTheProxysOwnSvid) {
  StartProxy("/orders");
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  WaitUntilReady();
  Pair pair;
  // On a starved machine the shorter life may be over before both connections are there.
  for (const seconds life : {seconds(12), seconds(40)}) {
    own_ = ca_.Svid("/orders", life);
    agent_->SetIdentity(own_, ca_.Bundles());
    ASSERT_TRUE(agent_->WaitForResult(
        [&](const FakeResult& r) { return r.svid_serial == own_->serial(); }, life));
    pair = HttpOnBoth("/web");
    if (Clock::System().Now() < own_->not_after()) {
      break;
    }
  }
  ASSERT_EQ(pair.size(), 2u);
  for (const auto& stream : pair) {
    ASSERT_EQ(stream->peer_chain_der(), own_->chain_der());
  }
  for (const auto& stream : pair) {
    EXPECT_TRUE(stream->WaitForEnd(seconds(60)));
  }
  // Two ends are heard one after the other; the exact bound is held with one worker.
  EXPECT_LE(Clock::System().Now(), own_->not_after() + 5 * kEndSlack);
}

TEST_F(TwoWorkersTest, RuleR13ARotationIsServedByEachWorkerAndCutsNothing) {
  StartInbound(kAllowWeb);
  const Pair before = HttpOnBoth("/web");
  const auto next = ca_.Svid("/orders");
  agent_->SetIdentity(next, ca_.Bundles());
  ASSERT_TRUE(agent_->WaitForResult(
      [&](const FakeResult& r) { return r.svid_serial == next->serial(); }, kPatience));
  const auto until = std::chrono::steady_clock::now() + kPatience;
  size_t renewed = 0;
  while (renewed < 2 && std::chrono::steady_clock::now() < until) {
    renewed = 0;
    for (const auto& stream : HttpOnBoth("/web")) {
      renewed += stream->peer_chain_der() == next->chain_der() ? 1 : 0;
    }
  }
  EXPECT_EQ(renewed, 2u);
  for (const auto& stream : before) {
    EXPECT_EQ(Ask(*stream, Get("/")).status, 200);
  }
}

TEST_F(TwoWorkersTest, RuleR14APolicyChangeCutsWhatItDeniesInEachWorkerAndNothingElse) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(kWebAndBatch);
  const Pair web = TunnelsOnBoth("/web");
  const Pair batch = TunnelsOnBoth("/batch");
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  // Nothing is sent on them: a worker that was not woken would sleep on.
  for (const auto& stream : batch) {
    EXPECT_TRUE(stream->WaitForEnd());
  }
  for (const auto& stream : web) {
    ASSERT_TRUE(stream->Write("still here\n"));
    EXPECT_EQ(stream->ReadUntil("\n"), "still here\n");
  }
}

TEST_F(TwoWorkersTest, RuleR14KeptConnectionsOfEachWorkerAreJudgedByTheNewPolicy) {
  StartInbound(kWebAndBatch);
  const Pair web = HttpOnBoth("/web");
  const Pair batch = HttpOnBoth("/batch");
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  for (const auto& stream : batch) {
    EXPECT_TRUE(BecomesDenied(*stream));
  }
  for (const auto& stream : web) {
    EXPECT_EQ(Ask(*stream, Get("/")).status, 200);
  }
}

TEST_F(TwoWorkersTest, RuleR15WithoutAPolicyEachWorkerDenies) {
  StartInbound(kAllowWeb);
  const Pair kept = HttpOnBoth("/web");
  ASSERT_EQ(Configure(OrdersService()), "");
  for (const auto& stream : kept) {
    EXPECT_TRUE(BecomesDenied(*stream));
  }
  const size_t passed = application_.Requests().size();
  for (const auto& stream : OnBoth([&] { return Dial(); })) {
    EXPECT_EQ(Ask(*stream, Get("/")).status, 403);
  }
  EXPECT_EQ(application_.Requests().size(), passed);
}

TEST_F(TwoWorkersTest, RuleR15ARefusedPolicyLeavesTheLastGoodOneInEachWorker) {
  StartInbound(kWebAndBatch);
  const Pair web = HttpOnBoth("/web");
  const Pair batch = HttpOnBoth("/batch");
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  for (const auto& stream : batch) {
    ASSERT_TRUE(BecomesDenied(*stream));
  }
  EXPECT_NE(
      Configure(Access("- { name: all, effect: allow, from: anyone }\n") + OrdersService(), "{"),
      "");
  for (const auto& stream : batch) {
    EXPECT_EQ(Ask(*stream, Get("/")).status, 403) << "nothing of the refused version applies";
  }
  for (const auto& stream : web) {
    EXPECT_EQ(Ask(*stream, Get("/")).status, 200);
  }
}

}  // namespace
}  // namespace countersign
