// R32, R33 and R44: an upstream is the one that was meant, and says no more than it was asked.
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "tests/proxy_agent/rules/proxy_fixture.h"
#include "tests/support/worker_of.h"

namespace countersign {
namespace {

// UpstreamTest is the caller's side: the proxy of `web`, which reaches orders and billing.
class UpstreamTest : public ProxyTest {
 protected:
  // Reaches writes two Services with one endpoint each; both may be the same address.
  std::string Reaches(const std::string& orders_at, const std::string& billing_at) const {
    const auto service = [&](const char* name, const std::string& at, const std::string& listen) {
      return Concat(
          "apiVersion: countersign.dev/v1alpha1\n"
          "kind: Service\n"
          "metadata: { name: ",
          name,
          " }\n"
          "spec:\n"
          "  workload: { id: spiffe://shop.example/",
          name,
          " }\n"
          "  ports: [{ name: http, protocol: http, listen: 127.0.0.1:1, application: "
          "127.0.0.1:2 }]\n"
          "  endpoints: ['",
          at,
          "']\n"
          "  reach: [{ from: [{ id: spiffe://shop.example/web }], listen: '",
          listen, "', port: http }]\n---\n");
    };
    return service("orders", orders_at, to_orders_) + service("billing", billing_at, to_billing_);
  }
  std::unique_ptr<TlsOptions> As(const std::string& path) {
    auto options = std::make_unique<TlsOptions>();
    options->identity = Identity(path);
    options->alpn = {"http/1.1"};
    return options;
  }
  void StartOutbound(const std::string& orders_at, const std::string& billing_at) {
    StartProxy("/web");
    ASSERT_EQ(Configure(Reaches(orders_at, billing_at)), "") << proxy_->Log();
    WaitUntilReady();
  }
  Reply AskAt(const std::string& address, const std::string& request) {
    const auto stream = TestStream::Connect(address);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return stream.ok() ? Ask(**stream, request) : Reply();
  }

  std::string to_orders_ = FreeAddress();
  std::string to_billing_ = FreeAddress();
};

TEST_F(UpstreamTest, RuleR32ServicesBehindOneAddressShareNoConnection) {
  Application both("127.0.0.1:0", As("/orders"));
  StartOutbound(both.address(), both.address());
  ASSERT_EQ(AskAt(to_orders_, Get("/1")).status, 200);
  // A warm connection to orders exists; the same address must not serve as billing.
  const int status = AskAt(to_billing_, Get("/2")).status;
  EXPECT_TRUE(status == 502 || status == 503) << status;
  ASSERT_EQ(AskAt(to_orders_, Get("/3")).status, 200);
  const auto requests = both.Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(RequestLine(requests[0]), "GET /1 HTTP/1.1");
  EXPECT_EQ(RequestLine(requests[1]), "GET /3 HTTP/1.1");
}

TEST_F(UpstreamTest, RuleR32OneServicesConnectionIsUsedAgain) {
  Application orders("127.0.0.1:0", As("/orders"));
  StartOutbound(orders.address(), orders.address());
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(AskAt(to_orders_, Get("/")).status, 200);
  }
  EXPECT_EQ(orders.accepted(), 1u);
}

TEST_F(UpstreamTest, RuleR33AWrongPeerGetsNoByteAndNoCertificate) {
  std::string got;
  size_t certificates = 0;
  std::mutex mutex;
  const auto wrong = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        const std::string bytes = stream.ReadAll();
        const std::lock_guard lock(mutex);
        got += bytes;
        certificates += stream.peer_chain_der().size();
      },
      As("/batch"));
  StartOutbound(wrong->address(), wrong->address());
  const int status = AskAt(to_orders_, Get("/", "Authorization: Bearer secret\r\n")).status;
  EXPECT_TRUE(status == 502 || status == 503) << status;
  EXPECT_GE(wrong->accepted(), 1u);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(got, "");
  EXPECT_EQ(certificates, 0u) << "ours is shown only to who proved to be the right one";
}

TEST_F(UpstreamTest, RuleR33AnUpstreamOfAForeignDomainIsRefused) {
  const TestCa impostor("shop.example");
  auto options = As("/orders");
  options->identity = IdentityOf(*impostor.Svid("/orders"));
  Application forged("127.0.0.1:0", std::move(options));
  StartOutbound(forged.address(), forged.address());
  const int status = AskAt(to_orders_, Get("/")).status;
  EXPECT_TRUE(status == 502 || status == 503) << status;
  EXPECT_TRUE(forged.Requests().empty());
}

TEST_F(UpstreamTest, RuleR33WhatIsSentBetweenProxiesIsMutualTls13) {
  std::string version;
  std::string cipher;
  int group = 0;
  std::vector<std::string> client_chain;
  const auto orders = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        ReadRequestText(stream);
        version = stream.tls_version();
        cipher = SSL_get_cipher_name(stream.native());
        group = static_cast<int>(SSL_get_negotiated_group(stream.native()));
        client_chain = stream.peer_chain_der();
        stream.Write(ReplyText("ok"));
      },
      As("/orders"));
  StartOutbound(orders->address(), orders->address());
  ASSERT_EQ(AskAt(to_orders_, Get("/")).status, 200);
  EXPECT_EQ(version, "TLSv1.3");
  EXPECT_EQ(cipher, "TLS_AES_128_GCM_SHA256") << "the server takes the caller's first";
  EXPECT_EQ(group, NID_X25519);
  EXPECT_EQ(client_chain, own_->chain_der());
}

TEST_F(ProxyTest, RuleR33APortChoosesAes128GcmAndX25519WhateverItsCallerPrefers) {
  StartInbound(kAllowWeb);
  const auto stream = Dial();  // OpenSSL's own order begins with AES-256.
  ASSERT_NE(stream, nullptr);
  ASSERT_EQ(Ask(*stream, Get("/")).status, 200);
  ASSERT_STREQ(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(SSL_get_ciphers(stream->native()), 0)),
               "TLS_AES_256_GCM_SHA384");
  EXPECT_STREQ(SSL_get_cipher_name(stream->native()), "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(SSL_get_negotiated_group(stream->native()), NID_X25519);
}

TEST_F(UpstreamTest, RuleR13IdleUpstreamsOfEachWorkerEndWithARotation) {
  std::atomic<int> ended = 0;
  const auto orders = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        while (!ReadRequestText(stream).empty()) {
          stream.Write(ReplyText("ok"));
        }
        ++ended;
      },
      As("/orders"));
  flags_ = {"--workers", "2"};
  StartOutbound(orders->address(), orders->address());
  std::vector<std::unique_ptr<TestStream>> callers;
  std::set<int> workers;
  for (int i = 0; i < 64 && workers.size() < 2; ++i) {
    auto caller = TestStream::Connect(to_orders_);
    ASSERT_TRUE(caller.ok()) << caller.status();
    ASSERT_EQ(Ask(**caller, Get("/")).status, 200);
    const std::optional<int> worker = WorkerOf(proxy_->pid(), **caller);
    ASSERT_TRUE(worker.has_value());
    workers.insert(*worker);
    callers.push_back(std::move(*caller));
  }
  ASSERT_EQ(workers.size(), 2u);
  ASSERT_EQ(orders->accepted(), 2u) << "one kept connection a worker";
  const auto next = ca_.Svid("/web");
  agent_->SetIdentity(next, ca_.Bundles());
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (ended < 2 && std::chrono::steady_clock::now() < until) {
    std::this_thread::yield();
  }
  EXPECT_EQ(ended, 2) << "they showed the SVID that is no more";
  for (const auto& caller : callers) {
    EXPECT_EQ(Ask(*caller, Get("/")).status, 200);
  }
  EXPECT_EQ(orders->accepted(), 4u);
}

TEST_F(UpstreamTest, RuleR45TicketsHaveABudget) {
  const auto orders = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        ReadRequestText(stream);
        for (int i = 0; i < 200; ++i) {
          if (SSL_new_session_ticket(stream.native()) != 1 ||
              SSL_do_handshake(stream.native()) != 1) {
            return;
          }
        }
        stream.Write(ReplyText("ok"));
      },
      As("/orders"));
  StartOutbound(orders->address(), orders->address());
  EXPECT_EQ(AskAt(to_orders_, Get("/")).status, 502);
}

TEST_F(UpstreamTest, RuleR44ABodyUntilCloseIsCompleteOnlyAfterCloseNotify) {
  bool clean = true;
  const auto orders = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        ReadRequestText(stream);
        stream.Write("HTTP/1.1 200 OK\r\n\r\nall of it");
        if (clean) {
          stream.ShutdownWrite();
        } else {
          stream.Cut();
        }
      },
      As("/orders"));
  StartOutbound(orders->address(), orders->address());
  const Reply whole = AskAt(to_orders_, Get("/"));
  EXPECT_TRUE(whole.complete);
  EXPECT_EQ(whole.body, "all of it");
  clean = false;
  const Reply cut = AskAt(to_orders_, Get("/"));
  EXPECT_FALSE(cut.complete) << "the caller must see that it was cut";
}

struct Smuggled {
  std::string name;
  std::string method;
  std::string response;
  int status;
};
void PrintTo(const Smuggled& row, std::ostream* out) { *out << row.name; }

class RuleR44 : public ProxyTest, public testing::WithParamInterface<Smuggled> {};

TEST_P(RuleR44, BytesBeyondAResponseAreNeverGivenToTheNextRequest) {
  const Smuggled& row = GetParam();
  StartInbound(kAllowWeb);
  application_.SetAnswer([&](const std::string& request) {
    return RequestLine(request).find("/bad") != std::string::npos ? row.response
                                                                  : ReplyText("good");
  });
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Concat(row.method, " /bad HTTP/1.1\r\nHost: orders\r\n\r\n")).status,
            row.status);
  const auto again = stream->ended() ? Dial() : nullptr;
  const Reply next = Ask(again ? *again : *stream, Get("/next"));
  EXPECT_EQ(next.status, 200);
  EXPECT_EQ(next.body, "good");
}

constexpr const char* kEvil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
INSTANTIATE_TEST_SUITE_P(
    RuleR44, RuleR44,
    testing::Values(
        Smuggled{"AfterALength", "GET", Concat(ReplyText("ok"), kEvil), 200},
        Smuggled{"After204", "GET", Concat("HTTP/1.1 204 No Content\r\n\r\n", kEvil), 204},
        Smuggled{"After304", "GET",
                 Concat("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", kEvil), 304},
        Smuggled{"AfterHead", "HEAD",
                 Concat("HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n", kEvil), 200},
        Smuggled{"AfterChunks", "GET",
                 Concat("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", kEvil),
                 200},
        Smuggled{
            "BothLengthAndChunked", "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            502},
        Smuggled{"NotHttp", "GET", "SSH-2.0-x\r\n\r\n", 502},
        Smuggled{"SwitchThatNobodyAskedFor", "GET",
                 "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 502}));

}  // namespace
}  // namespace countersign
