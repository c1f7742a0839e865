// R38, R39 and R45: what an operator sees, and what a peer may cost.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/proxy_agent/rules/proxy_fixture.h"

namespace countersign {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(ProxyTest, RuleR38TheAdminPortShowsNoSecret) {
  StartInbound(kAllowWeb);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  ASSERT_EQ(Ask(*stream, Get("/", "Authorization: Bearer s3cr3t\r\nCookie: s3cr3t\r\n")).status,
            200);
  for (const char* target : {"/config", "/metrics", "/ready"}) {
    const Reply reply = Admin(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_EQ(reply.body.find("PRIVATE KEY"), std::string::npos) << target;
    EXPECT_EQ(reply.body.find("s3cr3t"), std::string::npos) << target;
  }
  EXPECT_EQ(proxy_->Log().find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(proxy_->Log().find("s3cr3t"), std::string::npos);
}

TEST_F(ProxyTest, RuleR38TheAdminPortIsReadOnly) {
  StartInbound(kAllowWeb);
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    const auto stream = TestStream::Connect(admin_address_);
    ASSERT_TRUE(stream.ok());
    const Reply reply = Ask(**stream, Concat(method,
                                             " /config HTTP/1.1\r\nHost: localhost\r\n"
                                             "Content-Length: 0\r\n\r\n"));
    EXPECT_GE(reply.status, 400) << method;
  }
}

TEST_F(ProxyTest, RuleR38TheAdminPortStaysOnLoopback) {
  admin_address_ = "0.0.0.0:0";
  Launch();
  EXPECT_FALSE(proxy_->WaitForLog("ready", seconds(3)));
  EXPECT_EQ(proxy_->Stop(), 2) << proxy_->Log();
}

TEST_F(ProxyTest, RuleR39HeadsAreBounded) {
  StartInbound(kAllowWeb);
  const auto large = Dial();
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(Ask(*large, Get("/", "X: " + std::string(40 * 1024, 'a') + "\r\n")).status, 431);
  EXPECT_TRUE(large->WaitForEnd());
  std::string lines;
  for (int i = 0; i < 101; ++i) {
    lines += "X: a\r\n";
  }
  const auto many = Dial();
  ASSERT_NE(many, nullptr);
  EXPECT_EQ(Ask(*many, Get("/", lines)).status, 431);
  const auto target = Dial();
  ASSERT_NE(target, nullptr);
  EXPECT_EQ(Ask(*target, Get("/" + std::string(9000, 'a'))).status, 414);
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR39AHeadThatDribblesInHasADeadline) {
  StartInbound(kAllowWeb);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  ASSERT_TRUE(stream->Write("GET / HTTP/1.1\r\nHost: ord"));
  EXPECT_EQ(ReadReply(*stream, "GET", seconds(20)).status, 408);
  EXPECT_TRUE(stream->WaitForEnd());
}

TEST_F(ProxyTest, RuleR39ManyConnectionsFindDescriptors) {
  StartInbound(kAllowWeb);
  std::ifstream limits(Concat("/proc/", proxy_->pid(), "/limits"));
  std::string line;
  while (std::getline(limits, line) && !line.starts_with("Max open files")) {
  }
  std::istringstream words(line.substr(std::string_view("Max open files").size()));
  std::string soft;
  std::string hard;
  words >> soft >> hard;
  EXPECT_EQ(soft, hard);
}

TEST_F(ProxyTest, RuleR45AHandshakeHasADeadline) {
  StartInbound(kAllowWeb);
  const auto silent = TestStream::Connect(http_address_);
  ASSERT_TRUE(silent.ok());
  EXPECT_TRUE((*silent)->WaitForEnd(seconds(10)));
}

TEST_F(ProxyTest, RuleR45HalfOpenConnectionsOfOneSourceAreCapped) {
  StartInbound(kAllowWeb);
  std::vector<std::unique_ptr<TestStream>> silent;
  for (int i = 0; i < 200; ++i) {
    auto stream = TestStream::Connect(http_address_);
    ASSERT_TRUE(stream.ok());
    silent.push_back(std::move(*stream));
  }
  // Those over the cap end at once, long before the handshake's deadline.
  size_t ended = 0;
  const auto until = std::chrono::steady_clock::now() + seconds(3);
  while (ended < 100 && std::chrono::steady_clock::now() < until) {
    ended = 0;
    for (const auto& stream : silent) {
      ended += stream->WaitForEnd(milliseconds(1)) ? 1 : 0;
    }
  }
  EXPECT_GE(ended, 100u);
  EXPECT_LT(ended, 200u) << "some may try";
  // And when they are gone, the source is welcome again.
  silent.clear();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  int status = 0;
  while (status != 200 && std::chrono::steady_clock::now() < deadline) {
    status = StatusFor(Identity("/web"));
  }
  EXPECT_EQ(status, 200);
}

TEST_F(ProxyTest, RuleR45KeyUpdatesHaveABudget) {
  StartInbound(kAllowWeb);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  ASSERT_EQ(Ask(*stream, Get("/")).status, 200);
  SSL_key_update(stream->native(), SSL_KEY_UPDATE_REQUESTED);
  ASSERT_EQ(Ask(*stream, Get("/")).status, 200) << "one is nothing strange";
  for (int i = 0; i < 1000 && !stream->ended(); ++i) {
    SSL_key_update(stream->native(), SSL_KEY_UPDATE_NOT_REQUESTED);
    if (SSL_do_handshake(stream->native()) != 1) {
      break;
    }
  }
  EXPECT_TRUE(stream->WaitForEnd());
  const auto other = Dial();
  ASSERT_NE(other, nullptr);
  EXPECT_EQ(Ask(*other, Get("/")).status, 200) << "others do not notice";
}

}  // namespace
}  // namespace countersign
