// R19 to R23: where a request begins and ends, and who may disagree about it: nobody.
#include <gtest/gtest.h>

#include "tests/proxy_agent/rules/proxy_fixture.h"

namespace countersign {
namespace {

constexpr const char* kNoAdmin =
    "- { name: web, effect: allow, from: [{ id: spiffe://shop.example/web }] }\n"
    "- { name: no-admin, effect: deny, from: anyone, to: [{ path: { under: /admin } }] }\n";

TEST_F(ProxyTest, RuleR19OneByteAtATimeGivesTheSameVerdict) {
  StartInbound(kNoAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  for (const auto& [target, status] : {std::pair("/admin", 403), std::pair("/orders", 200)}) {
    for (const char byte : Get(target)) {
      ASSERT_TRUE(stream->Write(std::string_view(&byte, 1)));
    }
    EXPECT_EQ(ReadReply(*stream).status, status) << target;
  }
}

TEST_F(ProxyTest, RuleR19APortWithHttpNeverFallsBackToRawBytes) {
  StartInbound(kNoAdmin);
  for (const char* bytes :
       {"SSH-2.0-client\r\n", "\x16\x03\x01\x02", "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    const auto stream = Dial();
    ASSERT_NE(stream, nullptr);
    stream->Write(bytes);
    const Reply reply = ReadReply(*stream);
    EXPECT_TRUE(reply.status == 400 || reply.status == 505) << bytes << reply.status;
    EXPECT_TRUE(stream->WaitForEnd());
  }
  EXPECT_FALSE(Reached());
}

constexpr const char* kUpgradeLines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
constexpr const char* kSwitch =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

TEST_F(ProxyTest, RuleR20BytesAfterAnUpgradesHeadAre400) {
  StartInbound(kNoAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/", kUpgradeLines) + Get("/admin")).status, 400);
  EXPECT_TRUE(stream->WaitForEnd());
  for (const std::string& request : application_.Requests()) {
    EXPECT_EQ(request.find("/admin"), std::string::npos);
  }
}

TEST_F(ProxyTest, RuleR20NothingGoesUpstreamBeforeItSwitches) {
  StartInbound(kNoAdmin);
  application_.SetAnswer([](const std::string&) { return ReplyText("no"); });
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/", kUpgradeLines)).status, 200);
  EXPECT_EQ(Ask(*stream, Get("/admin")).status, 403) << "after a refused upgrade it is HTTP still";
  EXPECT_EQ(application_.Requests().size(), 1u);
}

TEST_F(ProxyTest, RuleR20ASwitchedConnectionIsATunnel) {
  const auto websocket = TestServer::Start(Concat("unix:", dir_.File("ws.sock")), [](auto& stream) {
    ReadRequestText(stream);
    stream.Write(kSwitch);
    stream.Write(stream.ReadUntil("!") + " to you");
  });
  StartProxy("/orders", {"--application", Concat("http=unix:", dir_.File("ws.sock"))});
  ASSERT_EQ(Configure(Access(kNoAdmin) + OrdersService()), "");
  WaitUntilReady();
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  ASSERT_EQ(Ask(*stream, Get("/", kUpgradeLines)).status, 101);
  ASSERT_TRUE(stream->Write("hello!"));
  EXPECT_EQ(stream->ReadUntil(" to you"), "hello! to you");
}

TEST_F(ProxyTest, RuleR20ConnectIsRefused) {
  StartInbound(kNoAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  const int status = Ask(*stream, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").status;
  EXPECT_EQ(status, 501);
  EXPECT_FALSE(Reached());
}

struct BadBytes {
  std::string name;
  std::string bytes;
};
void PrintTo(const BadBytes& row, std::ostream* out) { *out << row.name; }

class BadFraming : public ProxyTest, public testing::WithParamInterface<BadBytes> {};

TEST_P(BadFraming, Is400AndClose) {
  StartInbound(kNoAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  // What a smuggler hopes to have read as a second request.
  stream->Write(GetParam().bytes + Get("/smuggled"));
  EXPECT_EQ(ReadReply(*stream).status, 400);
  EXPECT_TRUE(stream->WaitForEnd());
  for (const std::string& request : application_.Requests()) {
    EXPECT_EQ(request.find("/smuggled"), std::string::npos) << request;
  }
}

std::string Post(const std::string& lines, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: orders\r\n" + lines + "\r\n" + body;
}
constexpr const char* kChunked = "Transfer-Encoding: chunked\r\n";

INSTANTIATE_TEST_SUITE_P(
    RuleR21, BadFraming,
    testing::Values(
        BadBytes{"BothLengthAndChunked",
                 Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
        BadBytes{"GzipChunked", Post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")},
        BadBytes{"ChunkedTwice", Post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")},
        BadBytes{"OtherCoding", Post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")},
        BadBytes{"ChunkedInHttp10",
                 "POST / HTTP/1.0\r\nHost: orders\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        BadBytes{"EmptyLength", Post("Content-Length: \r\n")},
        BadBytes{"SignedLength", Post("Content-Length: +5\r\n", "abcde")},
        BadBytes{"HexadecimalLength", Post("Content-Length: 0x5\r\n", "abcde")},
        BadBytes{"LengthList", Post("Content-Length: 5, 6\r\n", "abcde")},
        BadBytes{"TwoLengths", Post("Content-Length: 5\r\nContent-Length: 6\r\n", "abcde")},
        BadBytes{"LengthOverflow", Post("Content-Length: 18446744073709551617\r\n", "a")}));

INSTANTIATE_TEST_SUITE_P(
    RuleR22, BadFraming,
    testing::Values(BadBytes{"EmptyName", Post(": a\r\n")},
                    BadBytes{"SpaceBeforeColon", Post("Content-Length : 0\r\n")},
                    BadBytes{"FoldedLine", Post("X: a\r\n b\r\n")},
                    BadBytes{"BareCr", Post("X: a\rb\r\n")},
                    BadBytes{"BareLf", "POST / HTTP/1.1\nHost: orders\n\n"},
                    BadBytes{"BadNameByte", Post("X(Y): a\r\n")},
                    BadBytes{"NulInAValue", Post(std::string("X: a\0b\r\n", 8))},
                    BadBytes{"BareLfInChunkFraming", Post(kChunked, "3\nabc\n0\n\n")},
                    BadBytes{"BareLfAfterAChunk", Post(kChunked, "3\r\nabc\n0\r\n\r\n")},
                    BadBytes{"ChunkLongerThanItSays", Post(kChunked, "3\r\nabcd\r\n0\r\n\r\n")},
                    BadBytes{"SignedChunkSize", Post(kChunked, "+3\r\nabc\r\n0\r\n\r\n")},
                    BadBytes{"LengthAsTrailer", Post(kChunked, "0\r\nContent-Length: 5\r\n\r\n")}));

TEST_F(ProxyTest, RuleR23ADeniedRequestWhoseBodyWasNotReadClosesTheConnection) {
  StartInbound(kNoAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  const std::string body = Get("/orders");
  stream->Write(Concat("POST /admin HTTP/1.1\r\nHost: orders\r\nContent-Length: ", body.size() + 10,
                       "\r\n\r\n", body));
  const Reply denied = ReadReply(*stream);
  EXPECT_EQ(denied.status, 403);
  EXPECT_EQ(HeaderOf(denied.head, "connection"), "close");
  EXPECT_EQ(ReadReply(*stream).status, 0) << "the body is no request";
  EXPECT_TRUE(stream->ended());
  EXPECT_FALSE(Reached());
}

TEST_F(ProxyTest, RuleR23AnEarlyAnswerOfTheApplicationClosesTheConnection) {
  const auto early = TestServer::Start(Concat("unix:", dir_.File("early.sock")), [](auto& stream) {
    stream.ReadUntil("\r\n\r\n");
    stream.Write(ReplyText("enough", "413 Content Too Large"));
    stream.ReadAll();
  });
  StartProxy("/orders", {"--application", Concat("http=unix:", dir_.File("early.sock"))});
  ASSERT_EQ(Configure(Access(kNoAdmin) + OrdersService()), "");
  WaitUntilReady();
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  stream->Write(Post("Content-Length: 100000\r\n", Get("/smuggled")));
  EXPECT_EQ(ReadReply(*stream).status, 413);
  EXPECT_EQ(ReadReply(*stream).status, 0);
  EXPECT_TRUE(stream->ended());
}

TEST_F(ProxyTest, RuleR23ADeniedRequestWithoutABodyKeepsTheConnection) {
  StartInbound(kNoAdmin);
  const auto stream = Dial();
  ASSERT_NE(stream, nullptr);
  EXPECT_EQ(Ask(*stream, Get("/admin")).status, 403);
  EXPECT_EQ(Ask(*stream, Get("/orders")).status, 200);
}

}  // namespace
}  // namespace countersign
