// The harness itself: two raw TLS peers see each other's chains, and ends are told apart.
#include <gtest/gtest.h>

#include "tests/support/test_ca.h"
#include "tests/support/test_stream.h"

namespace countersign {
namespace {

TEST(HarnessTest, TlsPeersTalkAndSeeEachOthersChain) {
  const TestCa ca;
  const auto server_svid = ca.Svid("/orders");
  const auto client_svid = ca.Svid("/web");
  auto options = std::make_unique<TlsOptions>();
  options->identity = {server_svid->ChainPem(), server_svid->KeyPem()};
  options->alpn = {"http/1.1"};
  std::vector<std::string> seen;
  const auto server = TestServer::Start(
      "127.0.0.1:0",
      [&](TestStream& stream) {
        seen = stream.peer_chain_der();
        stream.Write("you said " + stream.ReadUntil("!"));
      },
      std::move(options));
  const auto client = TestStream::ConnectTls(
      server->address(), {.identity = {client_svid->ChainPem(), client_svid->KeyPem()},
                          .alpn = {"h2", "http/1.1"},
                          .server_name = "orders"});
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->alpn(), "http/1.1");
  EXPECT_EQ((*client)->tls_version(), "TLSv1.3");
  EXPECT_EQ((*client)->peer_chain_der(), server_svid->chain_der());
  EXPECT_TRUE((*client)->Write("hello!"));
  EXPECT_EQ((*client)->ReadAll(), "you said hello!");
  EXPECT_TRUE((*client)->clean_end());
  EXPECT_EQ(seen, client_svid->chain_der());
  EXPECT_EQ(server->accepted(), 1u);
  EXPECT_EQ(server->handshakes(), 1u);
}

TEST(HarnessTest, ACutConnectionIsNotACleanEnd) {
  const TestCa ca;
  const auto svid = ca.Svid("/orders");
  auto options = std::make_unique<TlsOptions>();
  options->identity = {svid->ChainPem(), svid->KeyPem()};
  const auto server = TestServer::Start(
      "127.0.0.1:0", [](TestStream& stream) { stream.Cut(); }, std::move(options));
  const auto client = TestStream::ConnectTls(server->address(), {});
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->WaitForEnd());
  EXPECT_FALSE((*client)->clean_end());
}

}  // namespace
}  // namespace countersign
