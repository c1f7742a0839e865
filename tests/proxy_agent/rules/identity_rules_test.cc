// R7 and R9 to R13: who a peer is, and for how long.
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "tests/proxy_agent/rules/proxy_fixture.h"

namespace countersign {
namespace {

using std::chrono::seconds;

TEST_F(ProxyTest, RuleR7InternalHeadersAreTakenFromNobody) {
  StartInbound(kAllowWeb);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  const Reply reply =
      Ask(*stream, Get("/",
                       "X-Forwarded-Client-Cert: By=x;URI=spiffe://shop.example/ana\r\n"
                       "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n"
                       "X-Envoy-Original-Path: /x\r\nl5d-client-id: ana\r\n"
                       "X-Countersign-Caller: ana\r\nForwarded: for=1.2.3.4\r\nX-Kept: 1\r\n"));
  ASSERT_EQ(reply.status, 200);
  const std::string xfcc = HeaderOf(reply.body, "x-forwarded-client-cert").value_or("");
  EXPECT_TRUE(xfcc.starts_with("By=spiffe://shop.example/orders;Hash=")) << xfcc;
  EXPECT_TRUE(xfcc.ends_with(";URI=spiffe://shop.example/web")) << xfcc;
  EXPECT_EQ(reply.body.find("ana"), std::string::npos) << reply.body;
  EXPECT_EQ(reply.body.find("1.2.3.4"), std::string::npos) << reply.body;
  EXPECT_FALSE(HeaderOf(reply.body, "x-envoy-original-path"));
  EXPECT_EQ(HeaderOf(reply.body, "x-kept"), "1");
}

TEST_F(ProxyTest, RuleR7NoPolicySeesAnInternalHeader) {
  StartInbound(
      "- name: proto\n"
      "  effect: allow\n"
      "  from: [{ id: spiffe://shop.example/web }]\n"
      "  when: { headers: { x-forwarded-proto: https } }\n");
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/", "X-Forwarded-Proto: https\r\n")).status, 403);
}

struct BadPeer {
  std::string name;
  std::function<void(TestCertificateSpec&)> change;
};
void PrintTo(const BadPeer& row, std::ostream* out) { *out << row.name; }

class RuleR9ToR11 : public ProxyTest, public testing::WithParamInterface<BadPeer> {};

TEST_P(RuleR9ToR11, IsRefusedInTheHandshake) {
  StartInbound("- { name: all, effect: allow, from: authenticated }\n");
  TestCertificateSpec spec = ca_.LeafSpec("/web");
  GetParam().change(spec);
  EXPECT_EQ(StatusFor(IdentityOf(ca_.Sign(spec))), 0);
  EXPECT_FALSE(Reached());
}

INSTANTIATE_TEST_SUITE_P(
    RuleR9, RuleR9ToR11,
    testing::Values(
        BadPeer{"NoUriSan",
                [](TestCertificateSpec& s) {
                  s.uri_sans.clear();
                  s.dns_sans = {"spiffe://shop.example/web", "web"};
                  s.common_name = "spiffe://shop.example/web";
                }},
        BadPeer{"TwoUriSans",
                [](TestCertificateSpec& s) { s.uri_sans.push_back("spiffe://shop.example/ana"); }},
        BadPeer{"TwiceTheSameUriSan",
                [](TestCertificateSpec& s) { s.uri_sans.push_back(s.uri_sans.front()); }},
        BadPeer{"NulInTheUriSan",
                [](TestCertificateSpec& s) {
                  s.uri_sans = {std::string("spiffe://shop.example/web\0.evil", 30)};
                }},
        BadPeer{"OtherScheme",
                [](TestCertificateSpec& s) { s.uri_sans = {"https://shop.example/web"}; }},
        BadPeer{"CapitalScheme",
                [](TestCertificateSpec& s) { s.uri_sans = {"SPIFFE://shop.example/web"}; }},
        BadPeer{"DotSegment",
                [](TestCertificateSpec& s) { s.uri_sans = {"spiffe://shop.example/x/../web"}; }},
        BadPeer{"ForeignTrustDomain",
                [](TestCertificateSpec& s) { s.uri_sans = {"spiffe://other.example/web"}; }}));

INSTANTIATE_TEST_SUITE_P(
    RuleR10, RuleR9ToR11,
    testing::Values(
        BadPeer{
            "CaAsLeaf",
            [](TestCertificateSpec& s) { s.extensions["basicConstraints"] = "critical,CA:TRUE"; }},
        BadPeer{"MaySignCertificates",
                [](TestCertificateSpec& s) {
                  s.extensions["keyUsage"] = "critical,digitalSignature,keyCertSign";
                }},
        BadPeer{"MaySignCrls",
                [](TestCertificateSpec& s) {
                  s.extensions["keyUsage"] = "critical,digitalSignature,cRLSign";
                }},
        BadPeer{"NoDigitalSignature",
                [](TestCertificateSpec& s) { s.extensions["keyUsage"] = "critical,keyAgreement"; }},
        BadPeer{"ServersKeyOnly",
                [](TestCertificateSpec& s) { s.extensions["extendedKeyUsage"] = "serverAuth"; }},
        BadPeer{"Expired",
                [](TestCertificateSpec& s) {
                  s.not_before = Clock::System().Now() - std::chrono::hours(2);
                  s.not_after = Clock::System().Now() - std::chrono::minutes(1);
                }},
        BadPeer{"NotYetValid", [](TestCertificateSpec& s) {
                  s.not_before = Clock::System().Now() + std::chrono::hours(1);
                  s.not_after = Clock::System().Now() + std::chrono::hours(2);
                }}));

TEST_F(ProxyTest, RuleR9WithoutACertificateNothingPasses) {
  StartInbound("- { name: all, effect: allow, from: anyone }\n");
  EXPECT_EQ(StatusFor(TlsIdentity()), 0);
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR10AnotherDomainsAuthorityVouchesForNobodyHere) {
  const TestCa other("other.example");
  StartProxy("/orders");
  agent_->SetIdentity(own_, ca_.Bundles({&other}));
  ASSERT_EQ(
      Configure(Access("- { name: all, effect: allow, from: authenticated }\n") + OrdersService()),
      "");
  WaitUntilReady();
  // Its own people may come ...
  EXPECT_EQ(StatusFor(IdentityOf(*other.Svid("/web"))), 200);
  // ... but it cannot make one of ours.
  TestCertificateSpec spec = other.LeafSpec("/web");
  spec.uri_sans = {"spiffe://shop.example/web"};
  EXPECT_EQ(StatusFor(IdentityOf(other.Sign(spec))), 0);
}

TEST_F(ProxyTest, RuleR11AChainMustEndAtTheDomainsOwnRoot) {
  StartInbound("- { name: all, effect: allow, from: authenticated }\n");
  const TestCa impostor("shop.example");
  EXPECT_EQ(StatusFor(IdentityOf(*impostor.Svid("/web"))), 0);
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR11UnrelatedCertificatesInTheChainChangeNothing) {
  StartInbound(kAllowWeb);
  const TestCa stranger("stranger.example");
  TlsIdentity identity = Identity("/web");
  identity.chain_pem += stranger.root_pem();
  EXPECT_EQ(StatusFor(identity), 200);
  // The stranger's own leaf does not pass by bringing its root along.
  TlsIdentity forged = IdentityOf(*stranger.Svid("/web"));
  forged.chain_pem += stranger.root_pem();
  EXPECT_EQ(StatusFor(forged), 0);
}

TEST_F(ProxyTest, RuleR12NoSessionIsResumedAndNoEarlyDataTaken) {
  StartInbound(kAllowWeb);
  const auto first = Dial();
  ASSERT_NE(first, nullptr);
  ASSERT_EQ(Ask(*first, Get("/")).status, 200);
  const std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(
      SSL_get1_session(first->native()), SSL_SESSION_free);
  EXPECT_EQ(SSL_SESSION_get_max_early_data(session.get()), 0u);
  const auto second = TryDial({.identity = Identity("/web"),
                               .alpn = {"http/1.1"},
                               .server_name = "orders",
                               .resume = session.get()});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(SSL_session_reused((*second)->native()), 0);
  EXPECT_EQ(Ask(**second, Get("/")).status, 200);
}

TEST_F(ProxyTest, RuleR13AConnectionEndsWithItsCallersSvid) {
  StartInbound(kAllowWeb);
  std::shared_ptr<const identity::X509Svid> svid;
  std::unique_ptr<TestStream> stream;
  int status = 0;
  // On a starved machine the shorter life may be over before the first answer.
  for (const seconds life : {seconds(8), seconds(40)}) {
    svid = ca_.Svid("/web", life);
    stream = Dial(IdentityOf(*svid));
    ASSERT_NE(stream, nullptr);
    status = Ask(*stream, Get("/")).status;
    if (status == 200) {
      break;
    }
  }
  ASSERT_EQ(status, 200);
  EXPECT_TRUE(stream->WaitForEnd(seconds(44)));
  EXPECT_LE(Clock::System().Now(), svid->not_after() + kEndSlack);
}

TEST_F(ProxyTest, RuleR13AConnectionEndsWithTheProxysOwnSvid) {
  StartProxy("/orders");
  ASSERT_EQ(Configure(Access(kAllowWeb) + OrdersService()), "");
  WaitUntilReady();
  std::unique_ptr<TestStream> stream;
  // On a starved machine the shorter life may be over before it is taken.
  for (const seconds life : {seconds(12), seconds(40)}) {
    own_ = ca_.Svid("/orders", life);
    agent_->SetIdentity(own_, ca_.Bundles());
    const bool taken =
        agent_
            ->WaitForResult([&](const FakeResult& r) { return r.svid_serial == own_->serial(); },
                            life)
            .has_value();
    auto dialled =
        TryDial({.identity = Identity("/web"), .alpn = {"http/1.1"}, .server_name = "orders"});
    if (taken && dialled.ok()) {
      stream = *std::move(dialled);
      break;
    }
  }
  ASSERT_NE(stream, nullptr);
  ASSERT_EQ(stream->peer_chain_der(), own_->chain_der());
  EXPECT_TRUE(stream->WaitForEnd(seconds(44)));
  EXPECT_LE(Clock::System().Now(), own_->not_after() + kEndSlack);
  int ready = 200;
  while (ready == 200 && Clock::System().Now() < own_->not_after() + seconds(2)) {
    ready = Admin("/ready").status;
  }
  EXPECT_NE(ready, 200) << "without an SVID it is not ready";
}

TEST_F(ProxyTest, RuleR13ARotationServesNewConnectionsAndKeepsOldOnes) {
  StartInbound(kAllowWeb);
  const auto before = Dial();
  ASSERT_NE(before, nullptr);
  const auto next = ca_.Svid("/orders");
  agent_->SetIdentity(next, ca_.Bundles());
  ASSERT_TRUE(agent_->WaitForResult(
      [&](const FakeResult& r) { return r.svid_serial == next->serial(); }, kPatience));
  const auto until = std::chrono::steady_clock::now() + kPatience;
  std::vector<std::string> seen;
  while (seen != next->chain_der() && std::chrono::steady_clock::now() < until) {
    const auto after = Dial();
    ASSERT_NE(after, nullptr);
    ASSERT_EQ(Ask(*after, Get("/")).status, 200);
    seen = after->peer_chain_der();
  }
  EXPECT_EQ(seen, next->chain_der());
  EXPECT_EQ(Ask(*before, Get("/")).status, 200);
}

}  // namespace
}  // namespace countersign
