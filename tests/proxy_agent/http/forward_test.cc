// What is forwarded is what was judged, and nobody but the proxy speaks in the mesh's name (R7).
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "proxy_agent/http/fields.h"
#include "tests/proxy_agent/http/forwarding.h"
#include "tests/proxy_agent/http/transcript.h"

namespace countersign::proxy::http {
namespace {

std::string Forward(const std::string& lines, const ForwardEdits& edits = {},
                    UnderscoreNames underscores = UnderscoreNames::kRefuse) {
  const auto parsed =
      ParseRequest("GET /raw HTTP/1.1\r\nHost: A.example:80\r\n" + lines + "\r\n", underscores);
  if (parsed->error != HttpError::kNone) {
    return std::string(HttpErrorName(parsed->error));
  }
  const auto client = MakeHttp1ClientCodec(parsed->limits, parsed->pools);
  StringSink sink;
  client->SendRequest({.head = parsed->head.get(),
                       .target = "/canonical?q",
                       .host = "a.example",
                       .edits = edits,
                       .upgrade = {}},
                      End::kNo, sink);
  return sink.text;
}
constexpr const char* kStart = "GET /canonical?q HTTP/1.1\r\nhost: a.example\r\n";

TEST(ForwardTest, WritesTheJudgedTargetAndHost) {
  EXPECT_EQ(Forward("Accept: x\r\nX-Two: 1\r\nX-Two: 2\r\n"),
            std::string(kStart) + "accept: x\r\nx-two: 1\r\nx-two: 2\r\n\r\n");
}

TEST(ForwardTest, LeavesOutWhatBelongsToOneConnection) {
  EXPECT_EQ(Forward("Connection: keep-alive, te\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
                    "Proxy-Connection: keep-alive\r\nTrailer: x\r\nUpgrade: h2c\r\n"
                    "HTTP2-Settings: AAA\r\n"),
            std::string(kStart) + "\r\n");
}

TEST(ForwardTest, LeavesOutInternalFieldsFromWhomever) {
  EXPECT_EQ(
      Forward("X-Forwarded-Client-Cert: By=x;URI=spiffe://evil/\r\nX-Forwarded-For: 1.2.3.4\r\n"
              "X-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\nX-Envoy-Internal: true\r\n"
              "l5d-client-id: a\r\nX-Countersign-Decision: allow\r\nX-Other: kept\r\n"),
      std::string(kStart) + "x-other: kept\r\n\r\n");
}

TEST(ForwardTest, InternalFieldsSpelledWithUnderscoresAreInternalToo) {
  EXPECT_EQ(Forward("X_Forwarded_Client_Cert: By=x\r\nx_envoy_a: b\r\nX_Other: kept\r\n", {},
                    UnderscoreNames::kAllow),
            std::string(kStart) + "x_other: kept\r\n\r\n");
}

// Applications that make one variable of every byte but letters and digits would read them too.
TEST(ForwardTest, InternalFieldsSpelledWithOtherBytesAreInternalToo) {
  EXPECT_EQ(Forward("X.Forwarded.Client.Cert: By=x\r\nx!forwarded!for: 1\r\nl5d~a: b\r\n"
                    "X-Forwarded7: kept\r\n"),
            std::string(kStart) + "x-forwarded7: kept\r\n\r\n");
}

TEST(ForwardTest, InternalFieldsAreNotJudged) {
  const auto parsed = ParseRequest(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nConnection: close\r\nAccept: x\r\n\r\n");
  ASSERT_EQ(parsed->error, HttpError::kNone);
  std::string judged;
  for (const Header& header : parsed->head->headers) {
    if (IsJudged(header)) {
      judged += header.name;
    }
  }
  EXPECT_EQ(judged, "accept");
}

TEST(ForwardTest, SetsTheCallersIdentityOnce) {
  const std::string xfcc =
      ForwardedClientCert("spiffe://shop.example/orders", "00ff", "spiffe://shop.example/web");
  EXPECT_EQ(xfcc, "By=spiffe://shop.example/orders;Hash=00ff;URI=spiffe://shop.example/web");
  ForwardEdits edits;
  edits.forwarded_client_cert = xfcc;
  EXPECT_EQ(Forward("x-forwarded-client-cert: By=forged\r\n", edits),
            std::string(kStart) + "x-forwarded-client-cert: " + xfcc + "\r\n\r\n");
}

TEST(ForwardTest, KeepsAReceivedTraceAndReplacesItWhenTold) {
  EXPECT_EQ(Forward("traceparent: 00-a\r\ntracestate: b\r\n"),
            std::string(kStart) + "traceparent: 00-a\r\ntracestate: b\r\n\r\n");
  ForwardEdits edits;
  edits.traceparent = "00-new";
  EXPECT_EQ(Forward("traceparent: 00-a\r\ntracestate: b\r\n", edits),
            std::string(kStart) + "traceparent: 00-new\r\n\r\n");
}

TEST(ForwardTest, AnEditThatWouldBreakOutOfItsLineIsLeftOut) {
  ForwardEdits edits;
  edits.forwarded_client_cert = "By=a\r\nx-evil: 1";
  EXPECT_EQ(Forward("", edits), std::string(kStart) + "\r\n");
}

TEST(ForwardTest, AsksForATunnelOnlyWhenToldTo) {
  const auto parsed = ParseRequest(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  const auto client = MakeHttp1ClientCodec(parsed->limits, parsed->pools);
  StringSink sink;
  client->SendRequest({.head = parsed->head.get(),
                       .target = "/",
                       .host = "a",
                       .edits = {},
                       .upgrade = parsed->head->upgrade},
                      End::kYes, sink);
  EXPECT_EQ(sink.text,
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
}

TEST(ForwardResponseTest, AnApplicationMayNotSpeakInTheMeshsName) {
  HeadPools pools;
  const HttpLimits limits;
  for (const auto internal : {InternalHeaders::kRemove, InternalHeaders::kKeep}) {
    const auto codec = MakeHttp1ServerCodec(limits, pools, UnderscoreNames::kRefuse);
    ServerEvent event;
    codec->Receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n", event);
    std::vector<Header> headers = {{.name = "x-countersign-decision", .value = "1"},
                                   {.name = "connection", .value = "close"},
                                   {.name = "content-length", .value = "999"},
                                   {.name = "server", .value = "s"}};
    for (Header& header : headers) {
      Classify(header);
    }
    OutgoingResponse response;
    response.status = 200;
    response.headers = headers;
    response.internal = internal;
    StringSink sink;
    codec->SendHead(1, response, End::kYes, sink);
    EXPECT_EQ(sink.text, internal == InternalHeaders::kRemove
                             ? "HTTP/1.1 200 OK\r\nserver: s\r\ncontent-length: 0\r\n\r\n"
                             : "HTTP/1.1 200 OK\r\nx-countersign-decision: 1\r\nserver: "
                               "s\r\ncontent-length: 0\r\n\r\n");
  }
}

// Requests made of fragments that parsers are known to stumble over.
std::string RandomRequest(std::mt19937& random) {
  static const std::vector<std::string> kFragments = {"GET ",
                                                      "POST ",
                                                      "HEAD ",
                                                      "/",
                                                      "/a?b=c",
                                                      " ",
                                                      "*",
                                                      "http://a/",
                                                      " HTTP/1.1",
                                                      " HTTP/1.0",
                                                      "\r\n",
                                                      "\r\n",
                                                      "\r\n",
                                                      "\n",
                                                      "\r",
                                                      "Host: a\r\n",
                                                      "Host: b",
                                                      "X: y\r\n",
                                                      ": ",
                                                      "X_Y: z\r\n",
                                                      " folded\r\n",
                                                      "\t",
                                                      "a",
                                                      "0\r\n\r\n",
                                                      "3\r\nabc",
                                                      "Content-Length: 3\r\n",
                                                      "Content-Length: 0\r\n",
                                                      "abc",
                                                      "Transfer-Encoding: chunked\r\n",
                                                      "Connection: close\r\n",
                                                      "#",
                                                      "X-Forwarded-Client-Cert: By=a\r\n",
                                                      "Expect: 100-continue\r\n",
                                                      "\xff",
                                                      "Connection: x\r\n",
                                                      "Authorization: b\r\n",
                                                      ";x=y"};
  std::string text = random() % 4 != 0 ? "POST / HTTP/1.1\r\nHost: a\r\n" : "";
  const size_t count = random() % 8;
  for (size_t i = 0; i < count; ++i) {
    text += kFragments[random() % kFragments.size()];
  }
  return text + (random() % 3 != 0 ? "\r\n" : "") +
         (random() % 3 == 0 ? "3\r\nabc\r\n0\r\n\r\n" : "");
}

TEST(ForwardPropertyTest, WhatUpstreamReadsLessTheEditsIsWhatWasJudged) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::string bytes = RandomRequest(random);
    ASSERT_EQ(ForwardedDiffers(bytes, "By=spiffe://a/b;Hash=00;URI=spiffe://a/c"), "") << bytes;
  }
}

TEST(ForwardPropertyTest, CutsMakeNoDifference) {
  std::mt19937 random(2);
  for (int i = 0; i < 10000; ++i) {
    const std::string bytes = RandomRequest(random);
    ASSERT_EQ(ServerTranscript(bytes, 1), ServerTranscript(bytes, 0)) << bytes;
  }
}

}  // namespace
}  // namespace countersign::proxy::http
