// Two TlsEngines back to back, without a socket: what one writes the other is fed.
#include "proxy_agent/tls_engine.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "proxy_agent/limits.h"
#include "proxy_agent/own_identity.h"
#include "tests/support/test_ca.h"

namespace countersign::proxy {
namespace {

constexpr std::string_view kWebPath = "/ns/prod/sa/web";
constexpr std::string_view kOrdersPath = "/ns/prod/sa/orders";

identity::SpiffeId Id(std::string_view text) { return *identity::SpiffeId::Parse(text); }

std::shared_ptr<const OwnIdentity> IdentityOf(const TestCa& ca, std::string_view path) {
  return *OwnIdentity::Create(ca.Svid(path), ca.Bundles(), nullptr);
}

// Pair drives a client and a server engine; `piece` bounds how many bytes pass at once.
class Pair {
 public:
  Pair(std::shared_ptr<const TlsContext> dialling, std::shared_ptr<const TlsContext> accepting,
       std::string_view expected)
      : client_out_(pool_),
        server_out_(pool_),
        client(std::move(dialling), Clock::System(), client_out_, Id(expected),
               ProxyLimits().key_updates_max),
        server(std::move(accepting), Clock::System(), server_out_, std::nullopt,
               ProxyLimits().key_updates_max) {}

  // Shake runs both handshakes to their ends.
  void Shake(size_t piece) {
    for (int i = 0; i < 100'000; ++i) {
      client_io = client.Handshake();
      server_io = server.Handshake();
      const bool moved = Pass(client_out_, server, piece) || Pass(server_out_, client, piece);
      if (!moved) {
        break;
      }
    }
  }
  // Pass moves some bytes of one side's output into the other engine.
  static bool Pass(BlockChain& from, TlsEngine& to, size_t piece) {
    if (from.empty()) {
      return false;
    }
    const std::string bytes(from.Front().substr(0, piece));
    from.Consume(bytes.size());
    to.Feed(bytes);
    to.Handshake();
    to.Settle();
    return true;
  }
  std::string Deliver(BlockChain& from, TlsEngine& to, size_t piece) {
    std::string plain;
    std::array<char, 5000> into;
    size_t got = 0;
    while (!from.empty()) {
      const std::string bytes(from.Front().substr(0, piece));
      from.Consume(bytes.size());
      to.Feed(bytes);
      while (to.Read(into, got) == TlsEngine::Io::kOk) {
        plain.append(into.data(), got);
      }
      to.Settle();
    }
    return plain;
  }
  BlockChain& client_out() { return client_out_; }
  BlockChain& server_out() { return server_out_; }

 private:
  BlockPool pool_;
  BlockChain client_out_, server_out_;

 public:
  TlsEngine client, server;
  TlsEngine::Io client_io = TlsEngine::Io::kWantInput;
  TlsEngine::Io server_io = TlsEngine::Io::kWantInput;
};

class TlsEngineTest : public ::testing::Test {
 protected:
  TestCa ca_;
  std::shared_ptr<const OwnIdentity> web_ = IdentityOf(ca_, kWebPath);
  std::shared_ptr<const OwnIdentity> orders_ = IdentityOf(ca_, kOrdersPath);
};

TEST_F(TlsEngineTest, BothSidesVerifyTheOtherInsideTheHandshake) {
  Pair pair(web_->client_http(), orders_->server_http(), "spiffe://shop.example/ns/prod/sa/orders");
  pair.Shake(64 * 1024);
  ASSERT_TRUE(pair.client.established());
  ASSERT_TRUE(pair.server.established());
  EXPECT_EQ(pair.client.peer()->id().path(), kOrdersPath);
  EXPECT_EQ(pair.server.peer()->id().path(), kWebPath);
  EXPECT_EQ(pair.server.alpn(), kAlpnHttp1);
}

TEST_F(TlsEngineTest, BytesPassWholeHoweverTheyAreCut) {
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, size_t{65536}}) {
    Pair pair(web_->client_http(), orders_->server_http(),
              "spiffe://shop.example/ns/prod/sa/orders");
    pair.Shake(piece);
    ASSERT_TRUE(pair.client.established() && pair.server.established()) << piece;
    std::mt19937 random(1);
    std::string sent;
    for (int i = 0; i < 20; ++i) {
      std::string bytes(random() % 4000, '\0');
      for (char& c : bytes) {
        c = static_cast<char>(random());
      }
      ASSERT_TRUE(pair.client.Write(bytes));
      sent += bytes;
    }
    EXPECT_EQ(pair.Deliver(pair.client_out(), pair.server, piece), sent) << piece;
  }
}

TEST_F(TlsEngineTest, AValidSvidThatIsNotTheExpectedOneIsRefused) {
  Pair pair(web_->client_http(), orders_->server_http(),
            "spiffe://shop.example/ns/prod/sa/billing");
  pair.Shake(64 * 1024);
  EXPECT_FALSE(pair.client.established());
  EXPECT_EQ(pair.client.failure(), TlsFailure::kWrongPeer);
  // The server never saw the client's certificate.
  EXPECT_FALSE(pair.server.peer().has_value());
  EXPECT_FALSE(pair.server.established());
}

TEST_F(TlsEngineTest, ASvidOfAnotherAuthorityIsRefusedByTheServer) {
  const TestCa stranger;  // The same trust domain's name, another key.
  const auto impostor = OwnIdentity::Create(stranger.Svid(kWebPath), ca_.Bundles(), nullptr);
  ASSERT_TRUE(impostor.ok()) << impostor.status();
  Pair pair((*impostor)->client_http(), orders_->server_http(),
            "spiffe://shop.example/ns/prod/sa/orders");
  pair.Shake(64 * 1024);
  EXPECT_FALSE(pair.server.established());
  EXPECT_EQ(pair.server.failure(), TlsFailure::kPeerRefused);
  EXPECT_TRUE(pair.server.verify_error().has_value());
}

TEST_F(TlsEngineTest, NoProtocolInCommonEndsTheHandshake) {
  Pair pair(web_->client_tcp(), orders_->server_http(), "spiffe://shop.example/ns/prod/sa/orders");
  pair.Shake(64 * 1024);
  EXPECT_FALSE(pair.server.established());
  EXPECT_EQ(pair.server.failure(), TlsFailure::kAlpn);
  EXPECT_FALSE(pair.client.established());
}

TEST_F(TlsEngineTest, ChangedBytesEndTheConnection) {
  Pair pair(web_->client_http(), orders_->server_http(), "spiffe://shop.example/ns/prod/sa/orders");
  pair.Shake(64 * 1024);
  ASSERT_TRUE(pair.client.Write("secret"));
  std::string record(pair.client_out().Front());
  record.back() = static_cast<char>(record.back() ^ 1);
  pair.server.Feed(record);
  std::array<char, 100> into;
  size_t got = 0;
  EXPECT_EQ(pair.server.Read(into, got), TlsEngine::Io::kFailed);
  EXPECT_EQ(pair.server.failure(), TlsFailure::kProtocol);
}

TEST_F(TlsEngineTest, CloseNotifyIsACleanEnd) {
  Pair pair(web_->client_http(), orders_->server_http(), "spiffe://shop.example/ns/prod/sa/orders");
  pair.Shake(64 * 1024);
  ASSERT_TRUE(pair.client.Write("last"));
  pair.client.SendCloseNotify();
  pair.server.Feed(pair.client_out().Front());
  std::array<char, 100> into;
  size_t got = 0;
  EXPECT_EQ(pair.server.Read(into, got), TlsEngine::Io::kOk);
  EXPECT_EQ(std::string_view(into.data(), got), "last");
  EXPECT_EQ(pair.server.Read(into, got), TlsEngine::Io::kClosed);
}

TEST_F(TlsEngineTest, AChangedBundleRefusesThePeerThatItNoLongerCovers) {
  Pair pair(web_->client_http(), orders_->server_http(), "spiffe://shop.example/ns/prod/sa/orders");
  pair.Shake(64 * 1024);
  ASSERT_TRUE(pair.server.established());
  const TestCa next;
  EXPECT_TRUE(pair.server.VerifyAgain(identity::PeerVerifier(ca_.Bundles())));
  EXPECT_FALSE(pair.server.VerifyAgain(identity::PeerVerifier(next.Bundles())));
  EXPECT_TRUE(pair.client.VerifyAgain(identity::PeerVerifier(ca_.Bundles())));
  EXPECT_FALSE(pair.client.VerifyAgain(identity::PeerVerifier(next.Bundles())));
}

}  // namespace
}  // namespace countersign::proxy
