// A resolver that does not answer holds up neither the admin port, nor an SVID, nor a
// configuration, nor the end.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <sys/socket.h>

#include <future>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// SilentResolver is a DNS server that takes questions and gives no answer.
class SilentResolver {
 public:
  SilentResolver() : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    auto* native = reinterpret_cast<sockaddr*>(&address_);
    EXPECT_EQ(bind(socket_.get(), native, size), 0);
    EXPECT_EQ(getsockname(socket_.get(), native, &size), 0);
  }
  // lookup is the system's own, with this as the only name server of the calling thread.
  EndpointNames::Lookup lookup() const {
    return [address = address_](const std::string& name) {
      res_init();
      _res.nscount = 1;
      _res.nsaddr_list[0] = address;
      return EndpointNames::SystemLookup(name);
    };
  }
  bool Asked() const {
    pollfd wait = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
    return poll(&wait, 1, 20'000) == 1;
  }

 private:
  Fd socket_;
  sockaddr_in address_ = {};
};

// Gate is a resolver that answers when the test says so.
class Gate {
 public:
  explicit Gate(Address address) : state_(std::make_shared<State>()) {
    state_->address.push_back(std::move(address));
  }
  EndpointNames::Lookup lookup() const {
    return [state = state_](const std::string&) {
      std::unique_lock lock(state->mutex);
      state->opened.wait(lock, [&] { return state->open; });
      return state->address;
    };
  }
  void Open() {
    const std::lock_guard lock(state_->mutex);
    state_->open = true;
    state_->opened.notify_all();
  }
  ~Gate() { Open(); }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable opened;
    bool open = false;
    std::vector<Address> address;
  };
  std::shared_ptr<State> state_;
};

class EndpointNamesTest : public ::testing::Test {
 protected:
  void Create(InstanceOptions options) {
    StatusOr<std::unique_ptr<Proxy>> made = Proxy::Create(std::move(options), Clock::System());
    ASSERT_TRUE(made.ok()) << made.status();
    web_ = *std::move(made);
    ASSERT_TRUE(web_->OnIdentity(ca_.Svid("/ns/prod/sa/web"), ca_.Bundles()).ok());
  }
  std::string Yaml() const {
    return PolicyYaml(kWebReads) +
           ServiceYaml({.listen = "127.0.0.1:1",
                        .application = "127.0.0.1:2",
                        .reach = reach_,
                        .endpoints = "{ port: main, dns: 'orders.shop.internal:8443' }",
                        .port = ""});
  }
  std::string Ask() const {
    const std::unique_ptr<TestStream> caller = *TestStream::Connect(reach_);
    caller->Write("GET /orders/7 HTTP/1.1\r\nhost: orders\r\n\r\n");
    return ReadResponse(*caller);
  }

  TestCa ca_;
  std::string reach_ = FreeAddress();
  std::unique_ptr<Proxy> web_;
};

TEST_F(EndpointNamesTest, ASilentResolverDelaysNeitherTheAdminPortNorAnSvid) {
  const SilentResolver resolver;
  InstanceOptions options{.name = "test"};
  options.names_patience = seconds(60);  // The configuration itself hangs as long as can be.
  options.lookup = resolver.lookup();
  Create(std::move(options));
  std::future<Status> taking = std::async(
      std::launch::async, [this] { return web_->OnConfiguration(SnapshotOf(kWeb, Yaml())); });
  ASSERT_TRUE(resolver.Asked()) << "the name is looked up over the network";
  std::future<void> answers = std::async(std::launch::async, [this] {
    EXPECT_EQ(web_->Admin("/metrics").status, 200);
    EXPECT_EQ(web_->Admin("/config").status, 200);
    EXPECT_EQ(web_->Admin("/ready").status, 503);
    EXPECT_TRUE(web_->OnIdentity(ca_.Svid("/ns/prod/sa/web"), ca_.Bundles()).ok());
    EXPECT_EQ(Metric(*web_, "countersign_proxy_identity_updates_total"), 2);
  });
  // The resolver's own time-out is ten seconds.
  EXPECT_EQ(answers.wait_for(seconds(4)), std::future_status::ready);
  EXPECT_EQ(taking.wait_for(seconds(0)), std::future_status::timeout) << "it was waiting indeed";
  answers.get();
  web_->Stop();
  EXPECT_EQ(taking.wait_for(seconds(4)), std::future_status::ready) << "nor does the end wait";
  web_.reset();
}

TEST_F(EndpointNamesTest, AConfigurationGoesOnWithoutANameThatIsNotResolvedInTime) {
  const SilentResolver resolver;
  InstanceOptions options{.name = "test"};
  options.names_patience = milliseconds(100);
  options.lookup = resolver.lookup();
  Create(std::move(options));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(web_->OnConfiguration(SnapshotOf(kWeb, Yaml())).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(4));
  EXPECT_TRUE(web_->Ready());
  testing::internal::CaptureStderr();
  EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("no endpoint that is known"));
  EXPECT_GE(Metric(*web_, R"(countersign_proxy_upstream_failures_total{reason="no_endpoint"})"), 1);
  // The next configuration does not wait for the same name again.
  const auto again = std::chrono::steady_clock::now();
  EXPECT_TRUE(web_->OnConfiguration(SnapshotOf(kWeb, Yaml(), 2)).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - again, seconds(4));
}

TEST_F(EndpointNamesTest, ALateAnswerIsTakenAsSoonAsItComes) {
  const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid("/ns/prod/sa/orders");
  auto tls = std::make_unique<TlsOptions>();
  tls->identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()};
  tls->alpn = {"http/1.1"};
  const std::unique_ptr<TestServer> orders = TestServer::Start(
      "127.0.0.1:0",
      [](TestStream& stream) {
        std::string head;
        while (ReadRequest(stream, head)) {
          stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
      },
      std::move(tls));
  Gate gate(*Address::Parse(orders->address()));
  InstanceOptions options{.name = "test"};
  options.names_period = std::chrono::hours(1);  // Not by looking again some time.
  options.names_patience = milliseconds(50);
  options.lookup = gate.lookup();
  Create(std::move(options));
  ASSERT_TRUE(web_->OnConfiguration(SnapshotOf(kWeb, Yaml())).ok());
  EXPECT_THAT(Ask(), StartsWith("HTTP/1.1 503"));
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return Ask().starts_with("HTTP/1.1 200"); }));
}

TEST(NameResolverTest, WhatIsAskedTwiceIsLookedUpOnce) {
  std::atomic<int> looked = 0;
  const Address address = *Address::Parse("10.0.0.1:443");
  Gate gate(address);
  NameResolver resolver([&looked, lookup = gate.lookup()](const std::string& name) {
    ++looked;
    return lookup(name);
  });
  std::future<EndpointNames::Known> first =
      std::async(std::launch::async, [&] { return resolver.LookUp({"a:1"}, std::nullopt); });
  ASSERT_TRUE(Eventually([&] { return looked == 1; }));
  EXPECT_TRUE(resolver.LookUp({"a:1"}, milliseconds(1)).empty());
  gate.Open();
  EXPECT_EQ(first.get().at("a:1").front(), address);
  EXPECT_EQ(looked, 1);
}

TEST(EndpointAddressesTest, AreInOneOrderWithoutRepetitionAndBounded) {
  std::vector<Address> many;
  for (int i = 200; i > 0; --i) {
    many.push_back(*Address::Parse(Concat("10.0.0.", i, ":443")));
    many.push_back(many.back());
  }
  const std::vector<Address> ordered = EndpointNames::InOrder(many);
  EXPECT_EQ(ordered.size(), EndpointNames::kAddressesMax);
  EXPECT_TRUE(
      std::is_sorted(ordered.begin(), ordered.end(),
                     [](const Address& a, const Address& b) { return a.text() < b.text(); }));
}

}  // namespace
}  // namespace countersign::proxy
