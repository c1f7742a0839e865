// What a peer may try against one worker: to fill its memory, to keep it from the others, to
// outlast the trust in it.
#include <gmock/gmock.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <future>

#include "tests/proxy_agent/mesh.h"

namespace countersign::proxy {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kGet = "GET /orders/7 HTTP/1.1\r\nhost: orders\r\n\r\n";

class HostileTest : public ::testing::Test {
 protected:
  void StartWith(const std::string& port, const std::string& rules = kWebReads,
                 const std::string& protocol = "http") {
    application_ = TestServer::Start("127.0.0.1:0", [](TestStream& stream) {
      std::string head;
      while (ReadRequest(stream, head)) {
        stream.Write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      }
    });
    facts_ = {.listen = FreeAddress(),
              .application = application_->address(),
              .reach = FreeAddress(),
              .endpoints = "",
              .protocol = protocol,
              .port = port};
    orders_ = StartProxy(ca_, kOrders, PolicyYaml(rules) + ServiceYaml(facts_));
  }
  Status Change(const std::string& yaml) {
    return orders_->OnConfiguration(SnapshotOf(kOrders, yaml, ++version_));
  }
  std::unique_ptr<TestStream> Plain() { return *TestStream::Connect(facts_.listen); }
  std::unique_ptr<TestStream> As(const TestCa& ca, std::string_view path) {
    const std::shared_ptr<const identity::X509Svid> svid = ca.Svid(path);
    StatusOr<std::unique_ptr<TestStream>> stream = TestStream::ConnectTls(
        facts_.listen, {.identity = {.chain_pem = svid->ChainPem(), .key_pem = svid->KeyPem()},
                        .alpn = {},
                        .server_name = ""});
    return stream.ok() ? *std::move(stream) : nullptr;
  }
  // Served says whether a new connection of web's gets its answer.
  bool Served(const TestCa& ca) {
    const std::unique_ptr<TestStream> web = As(ca, "/ns/prod/sa/web");
    return web != nullptr && web->Write(kGet) && ReadResponse(*web).starts_with("HTTP/1.1 200");
  }

  TestCa ca_;
  ServiceFacts facts_;
  uint64_t version_ = 1;
  std::unique_ptr<TestServer> application_;
  std::unique_ptr<Proxy> orders_;
};

// HalfShaken is a client that got the server's flight and keeps its own last one back.
class HalfShaken {
 public:
  HalfShaken(const std::string& address, const identity::X509Svid& svid)
      : stream_(*TestStream::Connect(address)), context_(SSL_CTX_new(TLS_client_method())) {
    UsePem(svid);
    ssl_.reset(SSL_new(context_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_connect_state(ssl_.get());
    while (SSL_do_handshake(ssl_.get()) != 1) {
      stream_->Write(Sealed());
      const std::string got = stream_->ReadSome();
      if (got.empty()) {
        ADD_FAILURE() << "the server ended the handshake";
        return;
      }
      BIO_write(in_, got.data(), static_cast<int>(got.size()));
    }
  }
  // Finish sends the last flight with a request behind it, and gives all that comes back.
  std::string Finish(const std::string& request) {
    SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size()));
    stream_->Write(Sealed());
    std::string plain;
    while (plain.find("\r\n\r\n") == std::string::npos) {
      const std::string got = stream_->ReadSome();
      if (got.empty()) {
        break;
      }
      BIO_write(in_, got.data(), static_cast<int>(got.size()));
      char buffer[4096];
      for (int n = 0; (n = SSL_read(ssl_.get(), buffer, sizeof(buffer))) > 0;) {
        plain.append(buffer, static_cast<size_t>(n));
      }
    }
    return plain;
  }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  void UsePem(const identity::X509Svid& svid) {
    const std::string& leaf = svid.chain_der().front();
    SSL_CTX_use_certificate_ASN1(context_.get(), static_cast<int>(leaf.size()),
                                 reinterpret_cast<const unsigned char*>(leaf.data()));
    const std::string pem = svid.KeyPem();
    BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    SSL_CTX_use_PrivateKey(context_.get(), key);
    EVP_PKEY_free(key);
    BIO_free(bio);
  }
  std::string Sealed() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out_, &data);
    std::string sealed(data, static_cast<size_t>(size));
    BIO_reset(out_);
    return sealed;
  }

  std::unique_ptr<TestStream> stream_;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  BIO* in_ = nullptr;  // Both belong to ssl_.
  BIO* out_ = nullptr;
};

TEST_F(HostileTest, WhoTakesNoAnswersIsNotAskedForMoreRequests) {
  StartWith(", probes: [{ path: /healthz, from: [127.0.0.0/8] }]");
  std::unique_ptr<TestStream> plain = Plain();
  const int small = 16 * 1024;
  setsockopt(plain->fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
  std::string many;
  constexpr size_t kAtOnce = 1000;
  for (size_t i = 0; i < kAtOnce; ++i) {
    many += kGet;
  }
  constexpr size_t kBound = 32 * 1024 * 1024;
  size_t sent = 0;
  pollfd wait = {.fd = plain->fd(), .events = POLLOUT, .revents = 0};
  while (sent < kBound && poll(&wait, 1, 2000) == 1) {
    const std::string_view rest = std::string_view(many).substr(sent % many.size());
    const ssize_t n = send(plain->fd(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    ASSERT_GT(n, 0);
    sent += static_cast<size_t>(n);
  }
  EXPECT_LT(sent, kBound) << "the proxy takes requests without end and keeps the answers";
  // What was sent is answered as soon as the answers are taken.
  size_t answers = 0;
  std::string got;
  while (answers < sent / kGet.size()) {
    const std::string some = plain->ReadSome();
    ASSERT_FALSE(some.empty()) << answers << " of " << sent / kGet.size();
    got += some;
    for (size_t at = 0; (at = got.find("HTTP/1.1 403")) != std::string::npos;) {
      ++answers;
      got.erase(0, at + 12);
    }
  }
}

TEST_F(HostileTest, AFloodOfARefusedPeerKeepsNobodyWaiting) {
  StartWith("");
  std::atomic<bool> stop = false;
  std::vector<std::thread> floods;
  for (int i = 0; i < 2; ++i) {
    floods.emplace_back([&] {
      const std::string noise(1 << 20, 'x');
      while (!stop) {
        const std::unique_ptr<TestStream> peer = Plain();
        pollfd wait = {.fd = peer->fd(), .events = POLLOUT, .revents = 0};
        // Until it is cut off, and no sooner: a flood of connections has a cap of its own.
        while (!stop && poll(&wait, 1, 100) >= 0 &&
               (send(peer->fd(), noise.data(), noise.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0 ||
                errno == EAGAIN)) {
        }
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(Served(ca_));
  }
  stop = true;
  for (std::thread& flood : floods) {
    flood.join();
  }
}

TEST_F(HostileTest, AHandshakeDoesNotOutliveTheTrustItBeganWith) {
  StartWith("");
  HalfShaken web(facts_.listen, *ca_.Svid("/ns/prod/sa/web"));
  const TestCa next;
  ASSERT_TRUE(orders_->OnIdentity(next.Svid("/ns/prod/sa/orders"), next.Bundles()).ok());
  ASSERT_TRUE(Eventually([&] { return Served(next); }));
  EXPECT_THAT(web.Finish(kGet), Not(HasSubstr("200 OK")));
}

TEST_F(HostileTest, AHandshakeDoesNotOutliveItsDoor) {
  StartWith("");
  HalfShaken web(facts_.listen, *ca_.Svid("/ns/prod/sa/web"));
  // Another service takes the address: what was asked for is no more.
  std::string other = ServiceYaml(facts_);
  other.replace(other.find("name: orders"), 12, "name: others");
  ASSERT_TRUE(Change(PolicyYaml(kWebReads) + other).ok());
  ASSERT_TRUE(
      Eventually([&] { return Metric(*orders_, "countersign_proxy_config_version") == 2; }));
  EXPECT_THAT(web.Finish(kGet), Not(HasSubstr("200 OK")));
}

TEST_F(HostileTest, PlaintextComesToAnEdgePortForItsProbesAlone) {
  StartWith(", tls: edge, probes: [{ path: /healthz, from: [127.0.0.0/8] }]",
            R"(    - { name: open, effect: allow, from: anyone }
)");
  std::unique_ptr<TestStream> plain = Plain();
  plain->Write("GET /healthz HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_THAT(ReadResponse(*plain), StartsWith("HTTP/1.1 200"));
  plain->Write(kGet);
  EXPECT_THAT(ReadResponse(*plain), StartsWith("HTTP/1.1 403"));
}

TEST_F(HostileTest, APlaintextTunnelEndsWhenItsPortBecomesAMeshPort) {
  const std::string open = R"(    - { name: open, effect: allow, from: anyone }
)";
  StartWith(", tls: permissive", open, "tcp");
  std::unique_ptr<TestStream> plain = Plain();
  plain->Write(kGet);
  ASSERT_THAT(ReadResponse(*plain), StartsWith("HTTP/1.1 200"));
  facts_.port = "";
  ASSERT_TRUE(Change(PolicyYaml(open) + ServiceYaml(facts_)).ok());
  EXPECT_TRUE(plain->WaitForEnd());
}

TEST_F(HostileTest, AnAnonymousConnectionEndsWithOurOwnIdentity) {
  StartWith(", tls: edge");
  ASSERT_TRUE(
      orders_
          ->OnIdentity(FreshSvid(ca_, "/ns/prod/sa/orders", std::chrono::seconds(2)), ca_.Bundles())
          .ok());
  StatusOr<std::unique_ptr<TestStream>> anonymous = TestStream::ConnectTls(facts_.listen, {});
  ASSERT_TRUE(anonymous.ok()) << anonymous.status();
  EXPECT_TRUE((*anonymous)->WaitForEnd(std::chrono::seconds(6)));
}

TEST_F(HostileTest, AProberHoldsNoConnectionForLong) {
  StartWith(", probes: [{ path: /healthz, from: [127.0.0.0/8] }]");
  std::unique_ptr<TestStream> plain = Plain();
  plain->Write("GET /healthz HTTP/1.1\r\nhost: orders\r\n\r\n");
  EXPECT_THAT(ReadResponse(*plain), StartsWith("HTTP/1.1 200"));
  EXPECT_TRUE(plain->WaitForEnd());
}

TEST_F(HostileTest, BytesOnAnIdleUpstreamEndItBeforeAnybodyUsesIt) {
  StartWith("");
  std::promise<void> speak;
  std::atomic<int> came = 0;
  const std::unique_ptr<TestServer> poisoner = TestServer::Start("127.0.0.1:0", [&](TestStream& s) {
    const bool first = ++came == 1;
    std::string head;
    while (ReadRequest(s, head)) {
      s.Write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood");
      if (first) {
        speak.get_future().wait();
        s.Write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
      }
    }
  });
  facts_.application = poisoner->address();
  ASSERT_TRUE(Change(PolicyYaml(kWebReads) + ServiceYaml(facts_)).ok());
  ASSERT_TRUE(
      Eventually([&] { return Metric(*orders_, "countersign_proxy_config_version") == 2; }));
  const std::unique_ptr<TestStream> web = As(ca_, "/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  web->Write(kGet);
  EXPECT_THAT(ReadResponse(*web), HasSubstr("good"));
  ASSERT_TRUE(Eventually([&] { return Metric(*orders_, "countersign_proxy_upstream_idle") == 1; }));
  speak.set_value();
  EXPECT_TRUE(Eventually([&] { return Metric(*orders_, "countersign_proxy_upstream_idle") == 0; }));
  web->Write(kGet);
  EXPECT_THAT(ReadResponse(*web), HasSubstr("good"));
  EXPECT_EQ(came, 2);
}

TEST_F(HostileTest, AMalformedBodyIsCompletedWithItsStatus) {
  StartWith("");
  const std::unique_ptr<TestStream> web = As(ca_, "/ns/prod/sa/web");
  ASSERT_NE(web, nullptr);
  web->Write("POST /orders/7 HTTP/1.1\r\nhost: orders\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
  EXPECT_THAT(ReadResponse(*web), StartsWith("HTTP/1.1 400"));
  EXPECT_TRUE(Eventually([&] {
    return Metric(*orders_, R"(countersign_proxy_requests_total{direction="inbound",)"
                            R"(reason="allow_rule",class="4xx"})") == 1;
  }));
}

}  // namespace
}  // namespace countersign::proxy
