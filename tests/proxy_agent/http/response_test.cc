// Responses (rule R44): which have a body, where it ends, and what an upstream may not do.
#include <gtest/gtest.h>

#include <string>

#include "tests/proxy_agent/http/transcript.h"

namespace countersign::proxy::http {
namespace {

struct ResponseRow {
  std::string name;
  std::string bytes;
  std::string expected;
  AskedRequest asked = {};
};
void PrintTo(const ResponseRow& row, std::ostream* out) { *out << row.name; }

class ResponseTest : public testing::TestWithParam<ResponseRow> {};

TEST_P(ResponseTest, IsReadAlikeHoweverTheBytesAreCut) {
  const ResponseRow& row = GetParam();
  for (const size_t piece_bytes : {0, 1, 2, 5}) {
    EXPECT_EQ(ClientTranscript(row.bytes, piece_bytes, row.asked), row.expected) << piece_bytes;
  }
}

const AskedRequest kAskedHead{.method = "HEAD", .upgrade = "", .close = false};
const AskedRequest kThenClose{.method = "GET", .upgrade = "", .close = true};
const AskedRequest kAskedUpgrade{.method = "GET", .upgrade = "websocket", .close = false};

INSTANTIATE_TEST_SUITE_P(
    Bodies, ResponseTest,
    testing::Values(
        ResponseRow{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
                    "head 200 [content-length=2]\nbody ab\nend\nreusable\n"},
        ResponseRow{"length zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                    "head 200 [content-length=0] end\nreusable\n"},
        ResponseRow{
            "chunked with trailers",
            "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
            "head 200 [transfer-encoding=chunked]\nbody a\nend [x=y]\nreusable\n"},
        ResponseRow{"no reason and no space", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
                    "head 200 [content-length=0] end\nreusable\n"},
        ResponseRow{"until close", "HTTP/1.1 200 OK\r\n\r\nabc", "head 200\nbody abc\nend\n",
                    kThenClose},
        ResponseRow{"until close, still open", "HTTP/1.1 200 OK\r\n\r\nabc",
                    "head 200\nbody abc\n"},
        ResponseRow{"closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
                    "head 200 [connection=close] [content-length=0] end\n"},
        ResponseRow{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
                    "head 200 [content-length=1]\nbody a\nend\n"},
        ResponseRow{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                    "head 204 [content-length=5] end\nreusable\n"},
        ResponseRow{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
                    "head 304 [content-length=5] end\nreusable\n"},
        ResponseRow{"HEAD with a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                    "head 200 [content-length=5] end\nreusable\n", kAskedHead},
        ResponseRow{"HEAD with chunks announced",
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "head 200 [transfer-encoding=chunked] end\nreusable\n", kAskedHead},
        ResponseRow{"interim first",
                    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
                    "1\r\n\r\na",
                    "interim 103 [link=x]\nhead 200 [content-length=1]\nbody a\nend\nreusable\n"}));

INSTANTIATE_TEST_SUITE_P(
    Smuggling, ResponseTest,
    testing::Values(
        ResponseRow{"second response", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                    "head 204 end\nerror unsolicited\n"},
        ResponseRow{"body after 204", "HTTP/1.1 204 No Content\r\n\r\nx",
                    "head 204 end\nerror unsolicited\n"},
        ResponseRow{"body after 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1\r\n\r\nx",
                    "head 304 [content-length=1] end\nerror unsolicited\n"},
        ResponseRow{"body after HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
                    "head 200 [content-length=1] end\nerror unsolicited\n", kAskedHead},
        ResponseRow{"body after an interim", "HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\nx",
                    "interim 100 [content-length=1]\nerror bad_status_line\n"},
        ResponseRow{"more than its length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
                    "head 200 [content-length=1]\nbody a\nend\nerror unsolicited\n"},
        ResponseRow{"length and chunked",
                    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "error length_and_chunked\n"},
        ResponseRow{"two lengths",
                    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                    "error bad_content_length\n"},
        ResponseRow{"gzip coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                    "error bad_transfer_encoding\n"},
        ResponseRow{"chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "error chunked_in_http10\n"},
        ResponseRow{"cut length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
                    "head 200 [content-length=2]\nbody a\nerror truncated\n", kThenClose},
        ResponseRow{"cut chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
                    "head 200 [transfer-encoding=chunked]\nbody a\nerror truncated\n", kThenClose},
        ResponseRow{"cut head", "HTTP/1.1 200 OK\r\n", "error truncated\n", kThenClose},
        ResponseRow{"nothing", "", "error truncated\n", kThenClose}));

INSTANTIATE_TEST_SUITE_P(
    Heads, ResponseTest,
    testing::Values(
        ResponseRow{"not HTTP", "SSH-2.0-x\r\n", "error bad_status_line\n"},
        ResponseRow{"no status", "HTTP/1.1 OK\r\n\r\n", "error bad_status_line\n"},
        ResponseRow{"two digits", "HTTP/1.1 20 OK\r\n\r\n", "error bad_status_line\n"},
        ResponseRow{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", "error bad_status_line\n"},
        ResponseRow{"status 099", "HTTP/1.1 099 X\r\n\r\n", "error bad_status_line\n"},
        ResponseRow{"status 600", "HTTP/1.1 600 X\r\n\r\n", "error bad_status_line\n"},
        ResponseRow{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "error bad_status_line\n"},
        ResponseRow{"bare LF", "HTTP/1.1 200 OK\nX: a\n\n", "error bare_lf\n"},
        ResponseRow{"space before colon", "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
                    "error space_before_colon\n"},
        ResponseRow{"folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "error folded_header\n"},
        ResponseRow{"control byte", "HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n", "error control_byte\n"},
        ResponseRow{"switch that nobody asked for",
                    "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                    "error unexpected_switch\n"},
        ResponseRow{"switch to another protocol",
                    "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
                    "error unexpected_switch\n", kAskedUpgrade},
        ResponseRow{"switch without connection", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
                    "error unexpected_switch\n", kAskedUpgrade},
        ResponseRow{"switch and tunnel",
                    "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw\r\n",
                    "interim 101 [connection=upgrade] [upgrade=websocket]\nbody raw\r\n\n",
                    kAskedUpgrade}));

TEST(ResponseLimitsTest, InterimResponsesWithoutEnd) {
  HttpLimits limits;
  limits.interim_responses_max = 2;
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_EQ(ClientTranscript(interim + interim + interim, 0, {}, limits),
            "interim 100\ninterim 100\nerror too_many_interim\n");
}

TEST(ResponseEndTest, ABodyUntilCloseIsNotCompleteAfterACut) {
  HeadPools pools;
  const HttpLimits limits;
  const auto codec = MakeHttp1ClientCodec(limits, pools);
  RequestHead request;
  request.method = "GET";
  StringSink sink;
  const StreamId stream = codec->SendRequest(
      {.head = &request, .target = "/", .host = "h", .edits = {}, .upgrade = {}}, End::kYes, sink);
  codec->Credit(stream, 100);
  ClientEvent event;
  std::string_view rest = "HTTP/1.1 200 OK\r\n\r\nhalf";
  do {
    rest.remove_prefix(codec->Receive(rest, event));
  } while (event.kind != EventKind::kNeedMore);
  codec->ReceiveEnd(ClientCodec::CloseKind::kCut, event);
  EXPECT_EQ(event.kind, EventKind::kError);
  EXPECT_EQ(event.error, HttpError::kTruncated);
}

TEST(ResponseEndTest, BytesBeforeAnyRequestAreUnsolicited) {
  HeadPools pools;
  const HttpLimits limits;
  const auto codec = MakeHttp1ClientCodec(limits, pools);
  ClientEvent event;
  codec->Receive("HTTP/1.1 408 Request Timeout\r\n\r\n", event);
  EXPECT_EQ(event.error, HttpError::kUnsolicited);
  EXPECT_FALSE(codec->CanSend());
  EXPECT_FALSE(codec->Reusable());
}

}  // namespace
}  // namespace countersign::proxy::http
