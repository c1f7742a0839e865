// R1 to R6 and R8: one canonical request, judged, routed and forwarded; ambiguity is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/proxy_agent/rules/proxy_fixture.h"

namespace countersign {
namespace {

constexpr const char* kAllButAdmin =
    "- { name: web, effect: allow, from: [{ id: spiffe://shop.example/web }] }\n"
    "- { name: no-admin, effect: deny, from: anyone, to: [{ path: { under: /admin } }] }\n";

TEST_F(ProxyTest, RuleR1SpellingsOfADeniedPathAreDenied) {
  StartInbound(kAllButAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  for (const char* target : {"/admin", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/admin/",
                             "/x/%2e%2e/admin", "/admin//x", "/./x/.././/admin"}) {
    EXPECT_EQ(Ask(*stream, Get(target)).status, 403) << target;
  }
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR1WhatIsForwardedIsTheCanonicalPathThatWasJudged) {
  StartInbound(kAllButAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  for (const char* target : {"/orders/7", "/orders//7", "/orders/./7", "/orders/x/../7",
                             "/orders/%37", "//orders/7", "http://orders/orders/7"}) {
    const Reply reply = Ask(*stream, Get(target));
    ASSERT_EQ(reply.status, 200) << target;
    EXPECT_EQ(RequestLine(reply.body), "GET /orders/7 HTTP/1.1") << target;
  }
  EXPECT_EQ(RequestLine(Ask(*stream, Get("/a%3ab?x=%2F../&y")).body),
            "GET /a%3Ab?x=%2F../&y HTTP/1.1")
      << "escapes that stay are in upper case, and the query is not touched";
}

TEST_F(ProxyTest, RuleR1PathsThatReadersTakeDifferentlyAre400) {
  StartInbound(kAllButAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  for (const char* target : {"/a%2fadmin", "/a%2Fadmin", "/a%5Cadmin", "/a\\admin", "/a;x=1",
                             "/a%00", "/a%", "/a%2", "/a%zz"}) {
    EXPECT_EQ(Ask(*stream, Get(target)).status, 400) << target;
  }
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR1APortMayAllowOneSpellingByName) {
  StartInbound(kAllButAdmin, "allowInPath: [semicolon]\n");
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(RequestLine(Ask(*stream, Get("/a;x=1")).body), "GET /a;x=1 HTTP/1.1");
  EXPECT_EQ(Ask(*stream, Get("/a%2fadmin")).status, 400);
}

TEST_F(ProxyTest, RuleR2AFragmentInTheTargetIs400) {
  StartInbound(kAllButAdmin);
  for (const char* target : {"/public#/../admin", "/#", "/a?b#c"}) {
    const auto stream = Dial();
    ASSERT_NE(stream, nullptr);
    EXPECT_EQ(Ask(*stream, Get(target)).status, 400) << target;
    EXPECT_TRUE(stream->WaitForEnd()) << target;
  }
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR3HostsAreNormalisedBeforePolicy) {
  StartInbound(
      "- { name: web, effect: allow, from: [{ id: spiffe://shop.example/web }] }\n"
      "- { name: secret, effect: deny, from: anyone, to: [{ host: secret.example }] }\n");
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  for (const char* host : {"secret.example", "Secret.Example", "secret.example.",
                           "secret.example:443", "SECRET.example.:8443"}) {
    EXPECT_EQ(Ask(*stream, Get("/", "", host)).status, 403) << host;
  }
  EXPECT_EQ(Ask(*stream, Get("/", "", "public.example")).status, 200);
  EXPECT_EQ(Ask(*stream, Get("http://SECRET.example/", "", "secret.EXAMPLE")).status, 403);
}

TEST_F(ProxyTest, RuleR3AnAbsoluteTargetOfAnotherHostIs400) {
  StartInbound(kAllButAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("http://public.example/", "", "secret.example")).status, 400);
}

constexpr const char* kTenant =
    "- name: acme\n"
    "  effect: allow\n"
    "  from: [{ id: spiffe://shop.example/web }]\n"
    "  when: { headers: { x-tenant: acme } }\n";

TEST_F(ProxyTest, RuleR4AHeaderThatAPolicyReadsMayOccurOnce) {
  StartInbound(kTenant);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/", "X-Tenant: acme\r\n")).status, 200);
  EXPECT_EQ(Ask(*stream, Get("/", "X-Tenant: other\r\n")).status, 403);
  EXPECT_EQ(Ask(*stream, Get("/")).status, 403);
  EXPECT_EQ(Ask(*stream, Get("/", "X-Tenant: acme\r\nx-tenant: other\r\n")).status, 400);
  EXPECT_EQ(Ask(*stream, Get("/", "X-Tenant: acme, other\r\n")).status, 403);
  EXPECT_EQ(application_.Requests().size(), 1u);
}

TEST_F(ProxyTest, RuleR4DuplicatesOfSingleHeadersAre400) {
  StartInbound(kAllButAdmin);
  for (const char* lines : {"Host: orders\r\n", "Authorization: a\r\nAuthorization: b\r\n",
                            "Content-Length: 0\r\nContent-Length: 0\r\n"}) {
    const auto stream = Dial();
    ASSERT_NE(stream, nullptr);
    EXPECT_EQ(Ask(*stream, Get("/", lines)).status, 400) << lines;
    EXPECT_TRUE(stream->WaitForEnd()) << lines;
  }
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR5LiteralsAreNotPatterns) {
  StartInbound(
      "- name: odd\n"
      "  effect: allow\n"
      "  from: [{ id: spiffe://shop.example/web }]\n"
      "  to: [{ path: '/a.b+c' }, { path: { prefix: '/q[1]' } }]\n"
      "- name: tag\n"
      "  effect: allow\n"
      "  from: [{ id: spiffe://shop.example/web }]\n"
      "  to: [{ path: /tagged }]\n"
      "  when: { headers: { x-tag: '.+' } }\n");
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/a.b+c")).status, 200);
  EXPECT_EQ(Ask(*stream, Get("/axbbc")).status, 403);
  EXPECT_EQ(Ask(*stream, Get("/a.bbc")).status, 403);
  EXPECT_EQ(Ask(*stream, Get("/q1")).status, 403);
  EXPECT_EQ(Ask(*stream, Get("/tagged", "X-Tag: .+\r\n")).status, 200);
  EXPECT_EQ(Ask(*stream, Get("/tagged", "X-Tag: abc\r\n")).status, 403);
}

TEST_F(ProxyTest, RuleR6BytesOver7FNeverTurnADenyIntoAnAllow) {
  StartInbound(
      "- { name: web, effect: allow, from: [{ id: spiffe://shop.example/web }] }\n"
      "- name: bad\n"
      "  effect: deny\n"
      "  from: anyone\n"
      "  when: { headers: { x-tag: { re2: '.*bad.*' } } }\n");
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  for (const char* value : {"bad",
                            "\xff"
                            "bad",
                            "bad\xff",
                            "\xc3"
                            "bad\xa9",
                            "\xf0\x9f\x98 bad"}) {
    EXPECT_EQ(Ask(*stream, Get("/", Concat("X-Tag: ", value, "\r\n"))).status, 403) << value;
  }
  EXPECT_EQ(Ask(*stream, Get("/", "X-Tag: \xff\xfe\r\n")).status, 200);
}

class RuleR8 : public ProxyTest, public testing::WithParamInterface<const char*> {
 protected:
  RuleR8() { flags_ = {"--log-format", GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(LogFormats, RuleR8, testing::Values("console", "json"),
                         [](const auto& row) { return std::string(row.param); });

TEST_P(RuleR8, ControlBytesReachNeitherHeadersNorTheLog) {
  StartInbound(kAllButAdmin);
  // From a name in a certificate: no handshake.
  for (const std::string& san : {std::string("spiffe://shop.example/web\0\x1b[31m\r\nx", 34),
                                 std::string("spiffe://shop.example/\x1b\"\\\xff\n{}")}) {
    TestCertificateSpec spec = ca_.LeafSpec("/web");
    spec.uri_sans = {san};
    EXPECT_EQ(StatusFor(IdentityOf(ca_.Sign(spec))), 0);
  }
  // From the server name: refused in the handshake, or harmless.
  const auto odd = TryDial({.identity = Identity("/web"),
                            .alpn = {"http/1.1"},
                            .server_name = "a\x1b[31m\r\nx-evil: 1"});
  if (odd.ok()) {
    Ask(**odd, Get("/"));
  }
  for (const char* line : {"X: a\x1b[31m\r\n", "X: a\x01\r\n", "X: a\rb\r\n"}) {
    const auto stream = Dial();
    ASSERT_NE(stream, nullptr);
    EXPECT_EQ(Ask(*stream, Get("/", line)).status, 400);
  }
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/a%0d%0aX-Evil:%201%1b")).status / 100, 2)
      << "escaped, they stay escaped";
  for (const std::string& request : application_.Requests()) {
    EXPECT_FALSE(HeaderOf(request, "x-evil")) << request;
    EXPECT_EQ(request.find('\x1b'), std::string::npos);
  }
  proxy_->Stop();  // The log is whole.
  const std::string log = proxy_->Log();
  EXPECT_TRUE(std::all_of(log.begin(), log.end(), [](char c) {
    return c == '\n' || static_cast<unsigned char>(c) >= 0x20;
  })) << log;
  EXPECT_NE(log.find("request refused"), std::string::npos);
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const bool object = nlohmann::json::parse(line, nullptr, false).is_object();
    EXPECT_EQ(object, GetParam() == std::string_view("json")) << line;
  }
}

}  // namespace
}  // namespace countersign
