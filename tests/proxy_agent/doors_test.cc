// The doors themselves: who may come in without an identity, how sockets are come by, what the
// admin port says.
#include <gmock/gmock.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kAnyoneReads = R"(    - name: anyone-reads
      effect: allow
      from: anyone
      to: [{ methods: [GET], path: /public/** }]
)" + kWebReads;

class DoorsTest : public ::testing::Test {
 protected:
  void StartWith(const std::string& port, const std::string& rules = kAnyoneReads) {
    application_ = TestServer::Start("127.0.0.1:0", [](TestStream& stream) {
      std::string head;
      while (ReadRequest(stream, head)) {
        stream.Write(Concat("HTTP/1.1 200 OK\r\ncontent-length: ", head.size(), "\r\n\r\n", head));
      }
    });
    facts_ = {.listen = FreeAddress(),
              .application = application_->address(),
              .reach = FreeAddress(),
              .endpoints = "",
              .port = port};
    orders_ = StartProxy(ca_, kOrders, PolicyYaml(rules) + ServiceYaml(facts_));
  }
  std::unique_ptr<TestStream> Plain() { return *TestStream::Connect(facts_.listen); }
  std::unique_ptr<TestStream> Tls(std::string_view path, std::vector<std::string> alpn = {}) {
    TlsOptions options;
    if (!path.empty()) {
      const std::shared_ptr<const identity::X509Svid> svid = ca_.Svid(path);
      options.identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()};
    }
    options.alpn = std::move(alpn);
    StatusOr<std::unique_ptr<TestStream>> stream = TestStream::ConnectTls(facts_.listen, options);
    return stream.ok() ? *std::move(stream) : nullptr;
  }
  static std::string Get(TestStream& stream, const std::string& path) {
    stream.Write(Concat("GET ", path, " HTTP/1.1\r\nhost: orders\r\n\r\n"));
    return ReadResponse(stream);
  }

  TestCa ca_;
  ServiceFacts facts_;
  std::unique_ptr<TestServer> application_;
  std::unique_ptr<Proxy> orders_;
};

TEST_F(DoorsTest, AMeshPortTakesNoPlaintextAndNoTlsWithoutACertificate) {
  StartWith("");
  std::unique_ptr<TestStream> plain = Plain();
  plain->Write("GET /public/x HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_THAT(plain->ReadAll(), Not(HasSubstr("HTTP/")));
  std::unique_ptr<TestStream> anonymous = Tls("");
  if (anonymous != nullptr) {
    anonymous->Write("GET /public/x HTTP/1.1\r\nhost: orders\r\n\r\n");
    EXPECT_EQ(anonymous->ReadAll(), "");
    EXPECT_THAT(anonymous->error(), HasSubstr("certificate"));
  }
  EXPECT_EQ(application_->accepted(), 0u);
}

TEST_F(DoorsTest, AnEdgePortTakesAnonymousCallersAsFarAsPolicyDoes) {
  StartWith(", tls: edge");
  std::unique_ptr<TestStream> anonymous = Tls("");
  ASSERT_NE(anonymous, nullptr);
  const std::string answer = Get(*anonymous, "/public/x");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(answer, Not(HasSubstr("x-forwarded-client-cert")));
  EXPECT_THAT(Get(*anonymous, "/orders/7"), StartsWith("HTTP/1.1 403"));
  std::unique_ptr<TestStream> web = Tls("/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Get(*web, "/orders/7"), StartsWith("HTTP/1.1 200 OK"));
  // A certificate that is shown must be good, also where none is asked for.
  const TestCa stranger;
  const std::shared_ptr<const identity::X509Svid> bad = stranger.Svid("/ns/prod/sa/web");
  StatusOr<std::unique_ptr<TestStream>> refused = TestStream::ConnectTls(
      facts_.listen, {.identity = {.chain_pem = bad->ChainPem(), .key_pem = bad->KeyPem()},
                      .alpn = {},
                      .server_name = ""});
  if (refused.ok()) {
    (*refused)->Write("GET /public/x HTTP/1.1\r\nhost: orders\r\n\r\n");
    EXPECT_EQ((*refused)->ReadAll(), "");
  }
}

TEST_F(DoorsTest, APermissivePortTakesPlaintextLoudlyAndTlsAsEver) {
  StartWith(", tls: permissive");
  std::unique_ptr<TestStream> plain = Plain();
  EXPECT_THAT(Get(*plain, "/public/x"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(Get(*plain, "/orders/7"), StartsWith("HTTP/1.1 403"));
  std::unique_ptr<TestStream> web = Tls("/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  EXPECT_THAT(Get(*web, "/orders/7"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(Metric(*orders_, "countersign_proxy_plaintext_connections_total"), 1);
}

TEST_F(DoorsTest, AProbePassesByItsExactPathAndNothingElseDoes) {
  StartWith(", probes: [{ path: /healthz, from: [127.0.0.0/8] }]");
  std::unique_ptr<TestStream> plain = Plain();
  EXPECT_THAT(Get(*plain, "/healthz"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(Get(*plain, "/healthz/x"), StartsWith("HTTP/1.1 403"));
  // Policy lets anyone read it, but nobody without an identity comes through a mesh port.
  EXPECT_THAT(Get(*plain, "/public/x"), StartsWith("HTTP/1.1 403"));
  plain->Write("POST /healthz HTTP/1.1\r\nhost: orders\r\ncontent-length: 0\r\n\r\n");
  EXPECT_THAT(ReadResponse(*plain), StartsWith("HTTP/1.1 403"));
  EXPECT_EQ(Metric(*orders_, "countersign_proxy_probes_total"), 1);
}

TEST_F(DoorsTest, AProbeFromElsewhereIsDenied) {
  StartWith(", probes: [{ path: /healthz, from: [10.0.0.0/8] }]");
  std::unique_ptr<TestStream> plain = Plain();
  EXPECT_THAT(Get(*plain, "/healthz"), StartsWith("HTTP/1.1 403"));
}

TEST_F(DoorsTest, NoProtocolInCommonFailsTheHandshake) {
  StartWith("");
  std::unique_ptr<TestStream> other = Tls("/ns/prod/sa/web", {"countersign-tcp"});
  if (other != nullptr) {
    other->Write("x");
    EXPECT_TRUE(other->WaitForEnd());
  }
  EXPECT_TRUE(Eventually([&] {
    return Metric(*orders_, R"(countersign_proxy_handshake_failures_total{reason="alpn"})") == 1;
  }));
}

TEST_F(DoorsTest, APeerThatAsksForNewKeysWithoutEndIsCut) {
  StartWith("");
  std::unique_ptr<TestStream> web = Tls("/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  bool written = true;
  for (int i = 0; i < 200 && written; ++i) {
    ASSERT_EQ(SSL_key_update(web->native(), SSL_KEY_UPDATE_REQUESTED), 1);
    written = web->Write("G");  // Carries the update; never a whole request.
  }
  EXPECT_TRUE(web->WaitForEnd());
}

TEST_F(DoorsTest, SocketsThatListenAlreadyAreTakenOver) {
  StatusOr<Address> any = Address::Parse("127.0.0.1:0");
  ASSERT_TRUE(any.ok());
  StatusOr<std::shared_ptr<const Listener>> bound = Listener::Bind(*any, 2);
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_NE((*bound)->address().port(), 0);

  Door door{.name = "main",
            .service = "orders",
            .listen = (*bound)->address(),
            .workload = *identity::SpiffeId::Parse(kOrders),
            .callee = *identity::SpiffeId::Parse(kOrders)};
  const std::vector<std::shared_ptr<const Door>> doors = {std::make_shared<const Door>(door)};
  StatusOr<std::shared_ptr<const ListenerSet>> sender =
      ListenerSet::Create(doors, 2, nullptr, {*bound});
  ASSERT_TRUE(sender.ok()) << sender.status();

  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Fd here(pair[0]);
  Fd there(pair[1]);
  ASSERT_TRUE(SendListeners(here.get(), **sender, 2).ok());
  StatusOr<std::vector<std::shared_ptr<const Listener>>> received = ReceiveListeners(there.get());
  ASSERT_TRUE(received.ok()) << received.status();
  ASSERT_EQ(received->size(), 1u);
  EXPECT_EQ(received->front()->origin(), ListenerOrigin::kReceived);
  StatusOr<std::shared_ptr<const ListenerSet>> taken =
      ListenerSet::Create(doors, 2, nullptr, *received);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ((*taken)->entries().front().listener, received->front());
}

TEST_F(DoorsTest, ADoorThatIsClosedIsHeardNoMoreWhileSomebodyHoldsItsSocket) {
  StartWith("");
  const std::string before = facts_.listen;
  // As another worker does that has not taken the newer configuration yet.
  const std::shared_ptr<const Snapshot> held = orders_->snapshot();
  facts_.listen = FreeAddress();
  ASSERT_TRUE(
      orders_->OnConfiguration(SnapshotOf(kOrders, PolicyYaml(kWebReads) + ServiceYaml(facts_), 2))
          .ok());
  ASSERT_TRUE(Eventually([&] { return Tls("/ns/prod/sa/web") != nullptr; }));
  const std::unique_ptr<TestStream> late = *TestStream::Connect(before);
  EXPECT_EQ(late->ReadSome(std::chrono::milliseconds(300)), "");
  EXPECT_FALSE(late->ended()) << "it waits in the kernel's queue; nobody accepts it";
  EXPECT_EQ(Metric(*orders_, R"(countersign_proxy_closed_at_accept_total{reason="not_ready"})"), 0);
}

TEST_F(DoorsTest, TheAdminPortAnswersGetOnLoopbackAndTellsNoSecret) {
  StartWith("");
  const Address loopback = *Address::Parse("127.0.0.1:0");
  StatusOr<std::unique_ptr<AdminServer>> admin =
      AdminServer::Start(loopback, [&](std::string_view path) { return orders_->Admin(path); });
  ASSERT_TRUE(admin.ok()) << admin.status();
  const auto ask = [&](const std::string& request) {
    std::unique_ptr<TestStream> stream = *TestStream::Connect((*admin)->address().text());
    stream->Write(request);
    return stream->ReadAll();
  };
  EXPECT_THAT(ask("GET /ready HTTP/1.1\r\nhost: x\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask("POST /ready HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(ask("GET /else HTTP/1.1\r\nhost: x\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask("GARBAGE\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  const std::string metrics = ask("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_THAT(metrics, HasSubstr("countersign_proxy_ready 1\n"));
  EXPECT_THAT(metrics, HasSubstr("# EOF\n"));
  const std::string config = ask("GET /config HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_THAT(config, HasSubstr(std::string(kOrders)));
  EXPECT_THAT(config, Not(HasSubstr("PRIVATE")));
  const StatusOr<Address> outside = Address::Parse("0.0.0.0:0");
  EXPECT_FALSE(AdminServer::Start(*outside, nullptr).ok());
}

TEST(AddressTest, ReadsWhatConfigurationMayHoldAndRefusesTheRest) {
  for (const char* good : {"127.0.0.1:80", "[::1]:443", "unix:/run/x.sock", "0.0.0.0:0"}) {
    const StatusOr<Address> parsed = Address::Parse(good);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->text(), good);
  }
  for (const char* bad :
       {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1", "localhost:80",
        "unix:", "unix:relative", "::1:80", "[::1]", ":80", "127.0.0.1:80x"}) {
    EXPECT_FALSE(Address::Parse(bad).ok()) << bad;
  }
  EXPECT_FALSE(Address::Parse("unix:/" + std::string(200, 'x')).ok());
}

}  // namespace
}  // namespace countersign::proxy
