// R14 to R17 and R34: the verdict comes first, holds for everything that is open, and never widens
// by what is missing.
#include <gtest/gtest.h>

#include "tests/proxy_agent/rules/proxy_fixture.h"

namespace countersign {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// EchoServer is the application behind the TCP port: it greets, then sends back what it gets.
std::unique_ptr<TestServer> EchoServer(const std::string& address) {
  return TestServer::Start(address, [](TestStream& stream) {
    stream.Write("welcome\n");
    while (true) {
      const std::string some = stream.ReadSome(std::chrono::minutes(1));
      if (some.empty() || !stream.Write(some)) {
        return;
      }
    }
  });
}

constexpr const char* kWebAndBatch =
    "- name: both\n"
    "  effect: allow\n"
    "  from: [{ id: spiffe://shop.example/web }, { id: spiffe://shop.example/batch }]\n";

TEST_F(ProxyTest, RuleR14APolicyChangeCutsOnlyWhatItDenies) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(kWebAndBatch);
  const auto web = DialTcp(Identity("/web"));
  const auto batch = DialTcp(Identity("/batch"));
  ASSERT_NE(web, nullptr);
  ASSERT_NE(batch, nullptr);
  ASSERT_EQ(web->ReadUntil("\n"), "welcome\n");
  ASSERT_EQ(batch->ReadUntil("\n"), "welcome\n");

  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  const auto acknowledged = std::chrono::steady_clock::now();
  EXPECT_TRUE(batch->WaitForEnd());
  EXPECT_LE(std::chrono::steady_clock::now() - acknowledged, seconds(1));
  ASSERT_TRUE(web->Write("still here\n"));
  EXPECT_EQ(web->ReadUntil("\n"), "still here\n");
}

TEST_F(ProxyTest, RuleR14AKeptConnectionIsJudgedByTheNewPolicy) {
  StartInbound(kWebAndBatch);
  const auto stream = Dial(Identity("/batch"));
  ASSERT_NE(stream, nullptr);
  ASSERT_EQ(Ask(*stream, Get("/")).status, 200);
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  const auto until = std::chrono::steady_clock::now() + seconds(1);
  int status = 200;
  while (status == 200 && std::chrono::steady_clock::now() < until) {
    status = Ask(*stream, Get("/")).status;
  }
  EXPECT_EQ(status, 403);
}

TEST_F(ProxyTest, RuleR14AResponseInFlightIsCutWhenItsRequestIsDeniedNow) {
  StartInbound(kWebAndBatch);
  application_.SetAnswer([](const std::string&) {
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
  });
  const auto stream = Dial(Identity("/batch"));
  ASSERT_NE(stream, nullptr);
  stream->Write(Get("/"));
  ASSERT_NE(stream->ReadUntil("half").find("half"), std::string::npos);
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  EXPECT_TRUE(stream->WaitForEnd());
}

TEST_F(ProxyTest, RuleR15WithoutAConfigurationNothingIsServed) {
  StartProxy("/orders");
  EXPECT_FALSE(agent_->WaitForResult([](const FakeResult& r) { return r.ready; }, seconds(1)));
  EXPECT_NE(Admin("/ready").status, 200);
  EXPECT_EQ(StatusFor(Identity("/web")), 0);
}

TEST_F(ProxyTest, RuleR15WithoutAPolicyEverythingIsDenied) {
  StartProxy("/orders");
  ASSERT_EQ(Configure(OrdersService()), "");
  // Refused, not ready or denied: never let through.
  for (int i = 0; i < 20; ++i) {
    const int status = StatusFor(Identity("/web"));
    EXPECT_TRUE(status == 0 || status == 403 || status == 503) << status;
  }
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR15AnUnreadablePolicyIsRefusedAndTheLastGoodOneStays) {
  StartInbound(kAllowWeb);
  for (const char* broken :
       {"{", "{\"kind\":\"AccessPolicy\"}",
        "{\"apiVersion\":\"countersign.dev/v1alpha1\",\"kind\":\"Unknown\"}"}) {
    EXPECT_NE(Configure(Access("- { name: all, effect: allow, from: anyone }\n") + OrdersService(),
                        broken),
              "")
        << broken;
    const auto web = Dial();
    ASSERT_NE(web, nullptr);
    EXPECT_EQ(Ask(*web, Get("/")).status, 200);
    const auto batch = Dial(Identity("/batch"));
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(Ask(*batch, Get("/")).status, 403) << "nothing of the refused version applies";
  }
}

TEST_F(ProxyTest, RuleR15AnIdentityOfAnotherWorkloadIsNotServed) {
  StartInbound(kAllowWeb);
  agent_->SetIdentity(ca_.Svid("/billing"), ca_.Bundles());
  for (int i = 0; i < 20; ++i) {
    const auto stream =
        TryDial({.identity = Identity("/web"), .alpn = {"http/1.1"}, .server_name = "orders"});
    if (stream.ok()) {
      EXPECT_EQ((*stream)->peer_chain_der(), own_->chain_der())
          << "a proxy of orders never speaks as billing";
    }
  }
}

TEST_F(ProxyTest, RuleR16AnAllowWithHttpFieldsAllowsNoTcpConnection) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(
      "- name: get\n"
      "  effect: allow\n"
      "  from: [{ id: spiffe://shop.example/web }]\n"
      "  to: [{ methods: [GET] }]\n");
  const auto tcp = DialTcp(Identity("/web"));
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->ReadSome(), "");
  EXPECT_TRUE(tcp->ended());
  EXPECT_EQ(raw->accepted(), 0u);
  const auto http = Dial();
  ASSERT_NE(http, nullptr);
  EXPECT_EQ(Ask(*http, Get("/")).status, 200);
}

TEST_F(ProxyTest, RuleR16ADenyWithHttpFieldsDeniesTheTcpConnection) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(Concat(kAllowWeb,
                      "- { name: no-delete, effect: deny, from: anyone, to: [{ methods: [DELETE] "
                      "}] }\n"));
  const auto tcp = DialTcp(Identity("/web"));
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->ReadSome(), "");
  EXPECT_EQ(raw->accepted(), 0u);
}

TEST_F(ProxyTest, RuleR16ADenyThatSaysHttpLeavesTcpAlone) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(Concat(kAllowWeb,
                      "- { name: no-delete, effect: deny, from: anyone, to: [{ protocol: http, "
                      "methods: [DELETE] }] }\n"));
  const auto tcp = DialTcp(Identity("/web"));
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->ReadUntil("\n"), "welcome\n");
}

TEST_F(ProxyTest, RuleR17AnAbsentIdentitySatisfiesNoIdentityPredicate) {
  // An edge port lets callers without certificate as far as the policy.
  StartInbound(
      "- name: all-but-batch\n"
      "  effect: allow\n"
      "  from: [{ id: { under: spiffe://shop.example }, except: { id: spiffe://shop.example/batch "
      "} }]\n"
      "- { name: known, effect: allow, from: authenticated, to: [{ path: /known }] }\n"
      "- { name: open, effect: allow, from: anyone, to: [{ path: /open }] }\n",
      "tls: edge\n");
  const auto anonymous = TryDial({.identity = {}, .alpn = {"http/1.1"}, .server_name = "orders"});
  ASSERT_TRUE(anonymous.ok()) << anonymous.status();
  EXPECT_EQ(Ask(**anonymous, Get("/")).status, 403);
  EXPECT_EQ(Ask(**anonymous, Get("/known")).status, 403);
  const Reply open = Ask(**anonymous, Get("/open"));
  EXPECT_EQ(open.status, 200);
  EXPECT_FALSE(HeaderOf(open.body, "x-forwarded-client-cert")) << "nobody to name";
  const auto web = Dial();
  ASSERT_NE(web, nullptr);
  EXPECT_EQ(Ask(*web, Get("/")).status, 200);
}

TEST_F(ProxyTest, RuleR15AStrictPortPassesNothingThatItCannotRecord) {
  StartInbound(kAllowWeb, "audit: strict\n");
  // Nobody collects the records, and a long path makes each of them long.
  const std::string request = Get("/" + std::string(7000, 'a'));
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  int status = 200;
  size_t passed = 0;
  while (status == 200 && passed < 5000) {
    status = Ask(*stream, request).status;
    passed += status == 200 ? 1 : 0;
  }
  ASSERT_EQ(status, 503);
  EXPECT_GT(passed, 100u);
  EXPECT_EQ(application_.Requests().size(), passed);
  const auto other = Dial();
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(Ask(*other, request).status, 503) << "on every connection";
  EXPECT_EQ(application_.Requests().size(), passed);
}

TEST_F(ProxyTest, RuleR34TheUpstreamIsDialledOnlyAfterAnAllow) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(kAllowWeb);
  const auto http = Dial(Identity("/batch"));
  ASSERT_NE(http, nullptr);
  EXPECT_EQ(Ask(*http, Get("/")).status, 403);
  const auto tcp = DialTcp(Identity("/batch"));
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->ReadSome(), "");
  EXPECT_FALSE(Reached());
  EXPECT_EQ(raw->accepted(), 0u);
}

TEST_F(ProxyTest, RuleR34AServerThatSpeaksFirstIsHeard) {
  const auto raw = EchoServer(Concat("unix:", dir_.File("raw.sock")));
  StartInbound(kAllowWeb);
  const auto tcp = DialTcp(Identity("/web"));
  ASSERT_NE(tcp, nullptr);
  EXPECT_EQ(tcp->ReadUntil("\n"), "welcome\n");
}

TEST_F(ProxyTest, RuleR34ADenialTellsTheDecisionAndNothingMore) {
  StartInbound(kAllowWeb);
  const auto stream = Dial(Identity("/batch"));
  ASSERT_NE(stream, nullptr);
  const Reply reply = Ask(*stream, Get("/secret-path"));
  EXPECT_EQ(reply.status, 403);
  for (const char* word : {"web", "shop/orders", "rule", "policy", "secret-path", "batch"}) {
    EXPECT_EQ(reply.body.find(word), std::string::npos) << reply.body;
  }
}

}  // namespace
}  // namespace countersign
