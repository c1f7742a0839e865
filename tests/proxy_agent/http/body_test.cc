// Bodies: lengths, chunks, their ends and trailers, however the bytes are cut.
#include <gtest/gtest.h>

#include <string>

#include "tests/proxy_agent/http/transcript.h"

namespace countersign::proxy::http {
namespace {

std::string Chunked(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body;
}
constexpr std::string_view kChunkedHead =
    "head POST / a chunked [host=a] [transfer-encoding=chunked]\n";

struct ChunkRow {
  std::string name;
  std::string body;
  std::string expected;  // After the head.
};
void PrintTo(const ChunkRow& row, std::ostream* out) { *out << row.name; }

class ChunkedBodyTest : public testing::TestWithParam<ChunkRow> {};

TEST_P(ChunkedBodyTest, IsReadAlikeHoweverTheBytesAreCut) {
  const ChunkRow& row = GetParam();
  const std::string expected = std::string(kChunkedHead) + row.expected;
  for (const size_t piece_bytes : {0, 1, 2, 3, 7}) {
    EXPECT_EQ(ServerTranscript(Chunked(row.body), piece_bytes), expected) << piece_bytes;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Admitted, ChunkedBodyTest,
    testing::Values(
        ChunkRow{"empty", "0\r\n\r\n", "end\n"},
        ChunkRow{"one", "3\r\nabc\r\n0\r\n\r\n", "body abc\nend\n"},
        ChunkRow{"two", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "body abcde\nend\n"},
        ChunkRow{"capital and small hexadecimal", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
                 "body 01234567890123456789\nend\n"},
        ChunkRow{"leading zeros", "003\r\nabc\r\n000\r\n\r\n", "body abc\nend\n"},
        ChunkRow{"line ends as data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "body \r\n\r\n\nend\n"},
        ChunkRow{"extension", "3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n", "body abc\nend\n"},
        ChunkRow{"trailers", "0\r\nX: a\r\nGrpc-Status: 0\r\n\r\n", "end [x=a] [grpc-status=0]\n"},
        ChunkRow{"unfinished", "3\r\nab", "body ab\n"}));

INSTANTIATE_TEST_SUITE_P(
    Refused, ChunkedBodyTest,
    testing::Values(
        ChunkRow{"no size", "\r\n", "error bad_chunk_size\n"},
        ChunkRow{"signed size", "+3\r\nabc\r\n", "error bad_chunk_size\n"},
        ChunkRow{"prefixed size", "0x3\r\nabc\r\n", "error bad_chunk_size\n"},
        ChunkRow{"space before size", " 3\r\nabc\r\n", "error bad_chunk_size\n"},
        ChunkRow{"space after size", "3 \r\nabc\r\n", "error bad_chunk_size\n"},
        ChunkRow{"underscore in size", "1_0\r\n", "error bad_chunk_size\n"},
        ChunkRow{"size overflow", "10000000000000003\r\nabc\r\n", "error bad_chunk_size\n"},
        ChunkRow{"bare LF after size", "3\nabc\r\n", "error bare_lf\n"},
        ChunkRow{"bare CR after size", "3\rabc\r\n", "error bare_cr\n"},
        ChunkRow{"bare LF in extension", "3;a\nabc\r\n", "error bare_lf\n"},
        ChunkRow{"bare CR in extension", "3;a\rb\r\nabc\r\n", "error bare_cr\n"},
        ChunkRow{"control byte in extension", "3;a\x01\r\nabc\r\n", "error control_byte\n"},
        ChunkRow{"data longer than size", "3\r\nabcd\r\n", "body abc\nerror bad_chunk_framing\n"},
        ChunkRow{"bare LF after data", "3\r\nabc\n0\r\n\r\n",
                 "body abc\nerror bad_chunk_framing\n"},
        ChunkRow{"bare CR after data", "3\r\nabc\r0\r\n\r\n",
                 "body abc\nerror bad_chunk_framing\n"},
        ChunkRow{"bare LF ends the body", "0\r\n\n", "error bare_lf\n"},
        ChunkRow{"bare LF after last size", "0\n\r\n", "error bare_lf\n"},
        ChunkRow{"bare CR in a trailer", "0\r\nX: a\rb\r\n\r\n", "error bare_cr\n"},
        ChunkRow{"trailer without colon", "0\r\nX\r\n\r\n", "error bad_header_name\n"},
        ChunkRow{"folded trailer", "0\r\nX: a\r\n b\r\n\r\n", "error folded_header\n"},
        ChunkRow{"length as trailer", "0\r\nContent-Length: 3\r\n\r\n", "error bad_trailer\n"},
        ChunkRow{"host as trailer", "0\r\nHost: b\r\n\r\n", "error bad_trailer\n"},
        ChunkRow{"framing as trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n",
                 "error bad_trailer\n"},
        ChunkRow{"authorization as trailer", "0\r\nAuthorization: a\r\n\r\n",
                 "error bad_trailer\n"}));

TEST(ChunkedBodyLimitsTest, ExtensionsOfAllChunksTogether) {
  HttpLimits limits;
  limits.chunk_extension_bytes_max = 8;
  const std::string chunk = "1;12345\r\na\r\n";
  EXPECT_EQ(ServerTranscript(Chunked(chunk), 0, limits), std::string(kChunkedHead) + "body a\n");
  EXPECT_EQ(ServerTranscript(Chunked(chunk + chunk), 0, limits),
            std::string(kChunkedHead) + "body a\nerror chunk_extension_too_long\n");
}

TEST(ChunkedBodyLimitsTest, TrailersInBytesAndInNumber) {
  HttpLimits limits;
  limits.trailer_bytes_max = 16;
  EXPECT_EQ(ServerTranscript(Chunked("0\r\nX: 0123456789012\r\n\r\n"), 1, limits),
            std::string(kChunkedHead) + "error trailers_too_large\n");
  limits = HttpLimits();
  limits.trailers_max = 1;
  EXPECT_EQ(ServerTranscript(Chunked("0\r\nX: a\r\nY: a\r\n\r\n"), 0, limits),
            std::string(kChunkedHead) + "error trailers_too_large\n");
}

TEST(LengthBodyTest, EndsWhereItsLengthSays) {
  const std::string bytes =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /next HTTP/1.1\r\nHost: "
      "a\r\n\r\n";
  const std::string expected =
      "head POST / a length=3 [host=a] [content-length=3]\nbody abc\nend\nhead GET /next a "
      "[host=a]\n";
  for (const size_t piece_bytes : {0, 1, 2, 5}) {
    EXPECT_EQ(ServerTranscript(bytes, piece_bytes), expected);
  }
}

TEST(LengthBodyTest, OfZeroIsNoBody) {
  EXPECT_EQ(ServerTranscript("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                             "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                             0),
            "head POST / a length=0 [host=a] [content-length=0]\nhead GET / a [host=a]\n");
}

TEST(CreditTest, LetsThroughNoMoreThanWasGranted) {
  HeadPools pools;
  const HttpLimits limits;
  const auto codec = MakeHttp1ServerCodec(limits, pools, UnderscoreNames::kRefuse);
  std::string_view rest =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
  ServerEvent event;
  rest.remove_prefix(codec->Receive(rest, event));
  ASSERT_EQ(event.kind, EventKind::kHead);
  rest.remove_prefix(codec->Receive(rest, event));
  EXPECT_EQ(event.kind, EventKind::kBlocked);
  EXPECT_TRUE(rest.starts_with("abcde"));
  codec->Credit(1, 2);
  rest.remove_prefix(codec->Receive(rest, event));
  EXPECT_EQ(event.data, "ab");
  rest.remove_prefix(codec->Receive(rest, event));
  EXPECT_EQ(event.kind, EventKind::kBlocked);
  codec->Credit(1, 3);
  rest.remove_prefix(codec->Receive(rest, event));
  EXPECT_EQ(event.data, "cde");
  rest.remove_prefix(codec->Receive(rest, event));
  EXPECT_EQ(event.kind, EventKind::kEnd) << "the end needs no credit";
  EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace countersign::proxy::http
