// What the parser of requests refuses: one row for every way in which two readers are known to
// disagree (rules R2, R4, R20 to R22 and R31), and its neighbour that is admitted.
#include <gtest/gtest.h>

#include <string>

#include "tests/proxy_agent/http/transcript.h"

namespace countersign::proxy::http {
namespace {

struct Refusal {
  std::string name;
  std::string bytes;
  HttpError error;
  int status = 400;
};
void PrintTo(const Refusal& row, std::ostream* out) { *out << row.name; }

std::string WithField(const std::string& line) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + line + "\r\n\r\n";
}
std::string WithTarget(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
}
std::string Post(const std::string& fields) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n\r\n";
}

class RequestRefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RequestRefusalTest, IsRefusedHoweverTheBytesAreCut) {
  const Refusal& row = GetParam();
  const std::string expected = "error " + std::string(HttpErrorName(row.error)) + "\n";
  EXPECT_EQ(ServerTranscript(row.bytes, 0), expected);
  EXPECT_EQ(ServerTranscript(row.bytes, 1), expected);
  EXPECT_EQ(StatusOf(row.error), row.status);
}

TEST_P(RequestRefusalTest, ClosesTheConnectionAfterTheAnswer) {
  const Refusal& row = GetParam();
  const auto parsed = ParseRequest(row.bytes);
  ASSERT_EQ(parsed->error, row.error);
  ASSERT_TRUE(parsed->codec->MayRefuse());
  StringSink sink;
  parsed->codec->SendError(row.status, {}, "", sink);
  EXPECT_TRUE(sink.text.starts_with("HTTP/1.1 " + std::to_string(row.status) + " "));
  EXPECT_NE(sink.text.find("\r\nconnection: close\r\n"), std::string::npos);
  EXPECT_TRUE(parsed->codec->Closing());
  ServerEvent event;
  EXPECT_EQ(parsed->codec->Receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n", event), 27u);
  EXPECT_EQ(event.kind, EventKind::kNeedMore) << "bytes after a refusal are dropped";
}

INSTANTIATE_TEST_SUITE_P(
    Lines, RequestRefusalTest,
    testing::Values(
        Refusal{"bare LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n",
                HttpError::kBareLf},
        Refusal{"bare LF ends a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", HttpError::kBareLf},
        Refusal{"bare LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", HttpError::kBareLf},
        Refusal{"bare CR in a value", WithField("X: a\rb"), HttpError::kBareCr},
        Refusal{"bare CR before CRLF", WithField("X: a\r"), HttpError::kBareCr},
        Refusal{"bare CR in a name", WithField("X\rY: a"), HttpError::kBadHeaderName},
        Refusal{"NUL in a value", WithField(std::string("X: a\0b", 6)), HttpError::kControlByte},
        Refusal{"control byte in a value", WithField("X: a\x01"), HttpError::kControlByte},
        Refusal{"DEL in a value", WithField("X: a\x7f"), HttpError::kControlByte},
        Refusal{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::kBadMethod},
        Refusal{"TLS record", "\x16\x03\x01", HttpError::kBadMethod},
        Refusal{"lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::kBadMethod},
        Refusal{"mixed-case method", "GEt / HTTP/1.1\r\nHost: a\r\n\r\n", HttpError::kBadMethod},
        Refusal{"two spaces after the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                HttpError::kBadRequestLine},
        Refusal{"two spaces after the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
                HttpError::kBadVersion},
        Refusal{"tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
                HttpError::kBadRequestLine},
        Refusal{"HTTP/0.9", "GET /\r\n\r\n", HttpError::kBadRequestLine},
        Refusal{"no version", "GET / \r\nHost: a\r\n\r\n", HttpError::kBadVersion},
        Refusal{"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", HttpError::kBadVersion},
        Refusal{"long version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", HttpError::kBadVersion},
        Refusal{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", HttpError::kVersionNotSupported,
                505},
        Refusal{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                HttpError::kVersionNotSupported, 505}));

INSTANTIATE_TEST_SUITE_P(
    Targets, RequestRefusalTest,
    testing::Values(
        Refusal{"fragment", WithTarget("/a#b"), HttpError::kFragmentInTarget},
        Refusal{"fragment in the query", WithTarget("/a?b#c"), HttpError::kFragmentInTarget},
        Refusal{"control byte", WithTarget("/a\x01"), HttpError::kBadTarget},
        Refusal{"byte over 0x7F", WithTarget("/\xc3\xa9"), HttpError::kBadTarget},
        Refusal{"no slash", WithTarget("a"), HttpError::kBadTarget},
        Refusal{"query alone", WithTarget("?a"), HttpError::kBadTarget},
        Refusal{"asterisk with GET", WithTarget("*"), HttpError::kBadTarget},
        Refusal{"authority form", WithTarget("a:80"), HttpError::kBadTarget},
        Refusal{"other scheme", WithTarget("ftp://a/"), HttpError::kBadTarget},
        Refusal{"absolute form without host", WithTarget("http:///"), HttpError::kBadTarget},
        Refusal{"absolute form with user", WithTarget("http://u@a/"), HttpError::kBadTarget},
        Refusal{"absolute form, query without path", WithTarget("http://a?x"),
                HttpError::kBadTarget},
        Refusal{"absolute form of another host", WithTarget("http://b/"), HttpError::kHostMismatch},
        Refusal{"absolute form of another port", WithTarget("http://a:81/"),
                HttpError::kHostMismatch},
        Refusal{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
                HttpError::kConnectRefused, 501},
        Refusal{"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
                HttpError::kConnectRefused, 501},
        Refusal{"long target", WithTarget("/" + std::string(8 * 1024, 'a')),
                HttpError::kTargetTooLong, 414}));

INSTANTIATE_TEST_SUITE_P(
    Fields, RequestRefusalTest,
    testing::Values(
        Refusal{"empty name", WithField(": a"), HttpError::kEmptyHeaderName},
        Refusal{"space before colon", WithField("X : a"), HttpError::kSpaceBeforeColon},
        Refusal{"tab before colon", WithField("X\t: a"), HttpError::kSpaceBeforeColon},
        Refusal{"space in a name", WithField("X Y: a"), HttpError::kSpaceBeforeColon},
        Refusal{"no colon", WithField("X"), HttpError::kBadHeaderName},
        Refusal{"parenthesis in a name", WithField("X(: a"), HttpError::kBadHeaderName},
        Refusal{"NUL in a name", WithField(std::string("X\0: a", 5)), HttpError::kBadHeaderName},
        Refusal{"byte over 0x7F in a name", WithField("X\xff: a"), HttpError::kBadHeaderName},
        Refusal{"underscore in a name", WithField("X_Y: a"), HttpError::kUnderscoreInName},
        Refusal{"folded line", WithField("X: a\r\n b"), HttpError::kFoldedHeader},
        Refusal{"folded line with a tab", WithField("X: a\r\n\tb"), HttpError::kFoldedHeader},
        Refusal{"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                HttpError::kFoldedHeader},
        Refusal{"no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", HttpError::kMissingHost},
        Refusal{"no host in 1.0", "GET / HTTP/1.0\r\n\r\n", HttpError::kMissingHost},
        Refusal{"two hosts", WithField("Host: a"), HttpError::kDuplicateHost},
        Refusal{"two different hosts", WithField("host: b"), HttpError::kDuplicateHost},
        Refusal{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", HttpError::kBadHost},
        Refusal{"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HttpError::kBadHost},
        Refusal{"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HttpError::kBadHost},
        Refusal{"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HttpError::kBadHost},
        Refusal{"host with empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", HttpError::kBadHost},
        Refusal{"host with large port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
                HttpError::kBadHost},
        Refusal{"broken IPv6 host", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HttpError::kBadHost},
        Refusal{"two authorizations", WithField("Authorization: a\r\nauthorization: b"),
                HttpError::kDuplicateHeader},
        Refusal{"two content types", WithField("Content-Type: a\r\nContent-Type: b"),
                HttpError::kDuplicateHeader},
        Refusal{"two upgrades", WithField("Upgrade: a\r\nUpgrade: b"), HttpError::kDuplicateHeader},
        Refusal{"connection names an end-to-end field",
                WithField("Authorization: a\r\nConnection: authorization"),
                HttpError::kBadConnectionOption},
        Refusal{"other expectation", WithField("Expect: 200-ok"), HttpError::kUnknownExpectation,
                417}));

INSTANTIATE_TEST_SUITE_P(
    Framing, RequestRefusalTest,
    testing::Values(
        Refusal{"length and chunked", Post("Content-Length: 5\r\nTransfer-Encoding: chunked"),
                HttpError::kLengthAndChunked},
        Refusal{"chunked and length", Post("Transfer-Encoding: chunked\r\nContent-Length: 0"),
                HttpError::kLengthAndChunked},
        Refusal{"chunked twice", Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
                HttpError::kBadTransferEncoding},
        Refusal{"chunked list", Post("Transfer-Encoding: chunked, chunked"),
                HttpError::kBadTransferEncoding},
        Refusal{"gzip, chunked", Post("Transfer-Encoding: gzip, chunked"),
                HttpError::kBadTransferEncoding},
        Refusal{"identity", Post("Transfer-Encoding: identity"), HttpError::kBadTransferEncoding},
        Refusal{"capital Chunked", Post("Transfer-Encoding: Chunked"),
                HttpError::kBadTransferEncoding},
        Refusal{"xchunked", Post("Transfer-Encoding: xchunked"), HttpError::kBadTransferEncoding},
        Refusal{"chunked with vertical tab",
                Post("Transfer-Encoding: \x0b"
                     "chunked"),
                HttpError::kControlByte},
        Refusal{"empty transfer encoding", Post("Transfer-Encoding:"),
                HttpError::kBadTransferEncoding},
        Refusal{"chunked in 1.0",
                "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                HttpError::kChunkedInHttp10},
        Refusal{"empty length", Post("Content-Length:"), HttpError::kBadContentLength},
        Refusal{"signed length", Post("Content-Length: +5"), HttpError::kBadContentLength},
        Refusal{"negative length", Post("Content-Length: -1"), HttpError::kBadContentLength},
        Refusal{"hexadecimal length", Post("Content-Length: 0x5"), HttpError::kBadContentLength},
        Refusal{"octal-looking length", Post("Content-Length: 010"), HttpError::kBadContentLength},
        Refusal{"length list", Post("Content-Length: 5, 6"), HttpError::kBadContentLength},
        Refusal{"length list of equals", Post("Content-Length: 5, 5"),
                HttpError::kBadContentLength},
        Refusal{"two lengths", Post("Content-Length: 5\r\nContent-Length: 6"),
                HttpError::kBadContentLength},
        Refusal{"two equal lengths", Post("Content-Length: 5\r\nContent-Length: 5"),
                HttpError::kBadContentLength},
        Refusal{"length with a space", Post("Content-Length: 5 5"), HttpError::kBadContentLength},
        Refusal{"overflow", Post("Content-Length: 18446744073709551621"),
                HttpError::kBadContentLength},
        Refusal{"upgrade with a body",
                Post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1"),
                HttpError::kUpgradeWithBody},
        Refusal{"upgrade with chunks",
                Post("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked"),
                HttpError::kUpgradeWithBody}));

TEST(RequestRefusalTimeTest, WhatIsNoHttpIsRefusedWithItsFirstLine) {
  EXPECT_EQ(ServerTranscript("SSH-2.0-client\r\n", 0), "error bad_request_line\n");
  EXPECT_EQ(ServerTranscript("GET / HTTP/2.0\r\n", 1), "error version_not_supported\n");
  EXPECT_EQ(ServerTranscript("GET / HTTP/1.1\r\n", 0), "");
}

TEST(RequestLimitsTest, RefusesAHeadOfMoreThan32KiB) {
  const std::string head = WithField("X: " + std::string(33 * 1024, 'a'));
  EXPECT_EQ(ServerTranscript(head, 0), "error head_too_large\n");
  EXPECT_EQ(ServerTranscript(head, 1), "error head_too_large\n");
  EXPECT_EQ(StatusOf(HttpError::kHeadTooLarge), 431);
}

TEST(RequestLimitsTest, RefusesAHeadWithoutEndBeforeItsEndComes) {
  const std::string line = "GET / HTTP/1.1\r\nX: " + std::string(32 * 1024, 'a');
  EXPECT_EQ(ServerTranscript(line, 0), "error head_too_large\n");
}

TEST(RequestLimitsTest, AdmitsAHeadOfExactly32KiB) {
  const std::string frame = WithField("X: ");
  const std::string head = WithField("X: " + std::string(32 * 1024 - frame.size(), 'a'));
  ASSERT_EQ(head.size(), 32u * 1024);
  EXPECT_TRUE(ServerTranscript(head, 0).starts_with("head GET / a"));
  EXPECT_TRUE(ServerTranscript(head, 1000).starts_with("head GET / a"));
}

TEST(RequestLimitsTest, Admits100FieldsAndRefuses101) {
  std::string lines;
  for (int i = 0; i < 99; ++i) {
    lines += "X: a\r\n";
  }
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_TRUE(ServerTranscript(start + lines + "\r\n", 0).starts_with("head "));
  EXPECT_EQ(ServerTranscript(start + lines + "X: a\r\n\r\n", 0), "error too_many_headers\n");
  EXPECT_EQ(StatusOf(HttpError::kTooManyHeaders), 431);
}

TEST(RequestLimitsTest, RefusesABodyOverItsLimit) {
  HttpLimits limits;
  limits.body_bytes_max = 4;
  EXPECT_EQ(ServerTranscript(Post("Content-Length: 5"), 0, limits), "error body_too_large\n");
  const std::string chunks = Post("Transfer-Encoding: chunked") + "3\r\nabc\r\n2\r\nde\r\n";
  const std::string transcript = ServerTranscript(chunks, 0, limits);
  EXPECT_TRUE(transcript.ends_with("body abc\nerror body_too_large\n")) << transcript;
  EXPECT_EQ(StatusOf(HttpError::kBodyTooLarge), 413);
}

TEST(RequestAdmissionTest, ReadsTheUsualForms) {
  EXPECT_EQ(
      ServerTranscript("GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nAccept: \t*/* \r\n\r\n", 0),
      "head GET /a?b=c a.example:80 [host=a.example:80] [accept=*/*]\n");
  EXPECT_EQ(ServerTranscript("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0),
            "head OPTIONS * a [host=a]\n");
  EXPECT_EQ(ServerTranscript("GET HTTP://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", 0),
            "head GET /x?y a:80 [host=a:80]\n");
  EXPECT_EQ(ServerTranscript("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 0),
            "head GET / a [host=a]\n");
  EXPECT_EQ(ServerTranscript("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", 0),
            "head OPTIONS * a [host=a]\n");
  EXPECT_EQ(ServerTranscript("GET / HTTP/1.1\r\nHost: [::1]:8080\r\nX:\r\n\r\n", 0),
            "head GET / [::1]:8080 [host=[::1]:8080] [x=]\n");
  EXPECT_EQ(ServerTranscript("M-SEARCH / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n", 0),
            "head M-SEARCH / a [host=a] [x=\xc3\xa9]\n");
}

TEST(RequestAdmissionTest, Http10AlwaysCloses) {
  EXPECT_EQ(ServerTranscript("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", 0),
            "head GET / a close [host=a] [connection=keep-alive]\n");
}

TEST(RequestAdmissionTest, UnderscoresAreAdmittedWhereTheListenerAllowsThem) {
  EXPECT_EQ(ServerTranscript(WithField("X_Y: a"), 0, {}, UnderscoreNames::kAllow),
            "head GET / a [host=a] [x_y=a]\n");
}

}  // namespace
}  // namespace countersign::proxy::http
