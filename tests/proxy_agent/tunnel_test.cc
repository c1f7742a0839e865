// TCP through the proxies: judged before anything is dialled, cut when a verdict falls.
#include <gmock/gmock.h>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

constexpr std::string_view kBilling = "spiffe://shop.example/ns/prod/sa/billing";

const std::string kWebConnects = R"(    - name: web-connects
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/web }]
)";
const std::string kBothConnect = kWebConnects + R"(    - name: billing-connects
      effect: allow
      from: [{ id: spiffe://shop.example/ns/prod/sa/billing }]
)";

void EchoBytes(TestStream& stream) {
  while (true) {
    const std::string bytes = stream.ReadSome(std::chrono::seconds(30));
    if (bytes.empty()) {
      stream.Write("bye");
      stream.ShutdownWrite();
      return;
    }
    stream.Write(bytes);
  }
}

class TunnelTest : public ::testing::Test {
 protected:
  void StartWith(TestServer::Handler handler, const std::string& rules) {
    application_ = TestServer::Start("127.0.0.1:0", std::move(handler));
    facts_.listen = FreeAddress();
    facts_.reach = FreeAddress();
    facts_.application = application_->address();
    facts_.protocol = "tcp";
    orders_ = StartProxy(ca_, kOrders, Yaml(rules));
    web_ = StartProxy(ca_, kWeb, Yaml(rules));
  }
  std::string Yaml(const std::string& rules) { return PolicyYaml(rules) + ServiceYaml(facts_); }
  Status Change(const std::string& rules) {
    return orders_->OnConfiguration(SnapshotOf(kOrders, Yaml(rules), ++version_));
  }
  // As is a mesh peer with that identity, straight to the port of orders' proxy.
  std::unique_ptr<TestStream> As(std::string_view id) {
    const std::shared_ptr<const identity::X509Svid> svid =
        ca_.Svid(id.substr(std::string_view("spiffe://shop.example").size()));
    TlsOptions options;
    options.identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()};
    options.alpn = {"countersign-tcp"};
    StatusOr<std::unique_ptr<TestStream>> stream = TestStream::ConnectTls(facts_.listen, options);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return *std::move(stream);
  }
  std::unique_ptr<TestStream> Caller() { return *TestStream::Connect(facts_.reach); }

  TestCa ca_;
  ServiceFacts facts_;
  uint64_t version_ = 1;
  std::unique_ptr<TestServer> application_;
  std::unique_ptr<Proxy> orders_;
  std::unique_ptr<Proxy> web_;
};

TEST_F(TunnelTest, BytesPassBothWaysAndEachDirectionEndsByItself) {
  StartWith(EchoBytes, kWebConnects);
  std::unique_ptr<TestStream> caller = Caller();
  std::string large(600'000, 'x');
  for (size_t i = 0; i < large.size(); ++i) {
    large[i] = static_cast<char>('a' + i % 26);
  }
  std::thread writer([&] { EXPECT_TRUE(caller->Write(large)); });
  const std::string echoed = caller->ReadAtLeast(large.size(), std::chrono::seconds(20));
  writer.join();
  EXPECT_TRUE(echoed == large);
  caller->ShutdownWrite();
  EXPECT_EQ(caller->ReadAll(), "bye");  // What came after our end.
  EXPECT_TRUE(caller->clean_end());
}

TEST_F(TunnelTest, AServerThatSpeaksFirstIsHeardWithoutAByteOfTheCaller) {
  StartWith(
      [](TestStream& stream) {
        stream.Write("220 ready\r\n");
        stream.ReadSome(std::chrono::seconds(30));
      },
      kWebConnects);
  std::unique_ptr<TestStream> caller = Caller();
  EXPECT_EQ(caller->ReadUntil("\r\n"), "220 ready\r\n");
}

TEST_F(TunnelTest, ADeniedConnectionIsClosedAndTheApplicationIsNeverDialled) {
  StartWith(EchoBytes, kWebConnects);
  std::unique_ptr<TestStream> billing = As(kBilling);
  EXPECT_TRUE(billing->WaitForEnd());
  EXPECT_EQ(application_->accepted(), 0u);
  EXPECT_TRUE(Eventually([&] {
    return Metric(*orders_, R"(countersign_proxy_tunnels_total{direction="inbound",)"
                            R"(reason="no_rule_matched"})") == 1;
  }));
}

TEST_F(TunnelTest, AChangedPolicyCutsOnlyWhatItDenies) {
  StartWith(EchoBytes, kBothConnect);
  std::unique_ptr<TestStream> web = As(kWeb);
  std::unique_ptr<TestStream> billing = As(kBilling);
  for (TestStream* stream : {web.get(), billing.get()}) {
    stream->Write("hello");
    ASSERT_EQ(stream->ReadAtLeast(5), "hello");
  }
  ASSERT_TRUE(Change(kWebConnects).ok());
  EXPECT_TRUE(billing->WaitForEnd(std::chrono::seconds(1)));
  web->Write("still here");
  EXPECT_EQ(web->ReadAtLeast(10), "still here");
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_cut_total{reason="policy_changed"})"), 1);
}

TEST_F(TunnelTest, ABundleThatNoLongerCoversThePeerCutsIt) {
  StartWith(EchoBytes, kBothConnect);
  std::unique_ptr<TestStream> web = As(kWeb);
  web->Write("hello");
  ASSERT_EQ(web->ReadAtLeast(5), "hello");
  const TestCa next;
  ASSERT_TRUE(orders_->OnIdentity(next.Svid("/ns/prod/sa/orders"), next.Bundles()).ok());
  EXPECT_TRUE(web->WaitForEnd(std::chrono::seconds(1)));
}

TEST_F(TunnelTest, ATunnelToAnIdentityThatIsNoMoreTheServicesEnds) {
  StartWith(EchoBytes, kWebConnects);
  std::unique_ptr<TestStream> caller = Caller();
  caller->Write("hello");
  ASSERT_EQ(caller->ReadAtLeast(5), "hello");
  std::string yaml = Yaml(kWebConnects);
  const std::string before = Concat("workload: { id: ", kOrders);
  yaml.replace(yaml.find(before), before.size(), Concat("workload: { id: ", kBilling));
  ASSERT_TRUE(web_->OnConfiguration(SnapshotOf(kWeb, yaml, 2)).ok());
  EXPECT_TRUE(caller->WaitForEnd());
}

TEST_F(TunnelTest, ATunnelEndsWhenAnIdentityDoes) {
  StartWith(EchoBytes, kWebConnects);
  // Long enough to be used on a busy machine before it ends.
  ASSERT_TRUE(
      orders_->OnIdentity(ca_.Svid("/ns/prod/sa/orders", std::chrono::seconds(6)), ca_.Bundles())
          .ok());
  std::unique_ptr<TestStream> web = As(kWeb);
  web->Write("hello");
  ASSERT_EQ(web->ReadAtLeast(5), "hello");
  EXPECT_TRUE(web->WaitForEnd(std::chrono::seconds(20)));
  EXPECT_TRUE(Eventually([&] {
    return Metric(*orders_, R"(countersign_proxy_cut_total{reason="svid_expired"})") == 1;
  }));
}

}  // namespace
}  // namespace countersign::proxy
