// Whole exchanges on one connection: keep-alive, refusals, tunnels, and when a connection must end.
#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "tests/proxy_agent/http/transcript.h"

namespace countersign::proxy::http {
namespace {

class ServerFlowTest : public testing::Test {
 protected:
  // Feed gives bytes and returns the first event; the rest of the bytes stays in rest_.
  ServerEvent Feed(std::string_view bytes) {
    rest_ += bytes;
    ServerEvent event;
    const size_t consumed = codec_->Receive(rest_, event);
    data_ = event.data;  // The event's own view dies with the next line.
    rest_.erase(0, consumed);
    event.data = data_;
    return event;
  }
  std::string Respond(StreamId stream, const OutgoingResponse& response, End end) {
    StringSink sink;
    codec_->SendHead(stream, response, end, sink);
    return sink.text;
  }
  std::string Respond(StreamId stream, int status) {
    OutgoingResponse response;
    response.status = status;
    return Respond(stream, response, End::kYes);
  }
  std::string Body(StreamId stream, std::string_view data) {
    StringSink sink;
    EXPECT_EQ(codec_->SendBody(stream, data, sink), data.size());
    return sink.text;
  }
  std::string Finish(StreamId stream) {
    StringSink sink;
    codec_->SendEnd(stream, {}, sink);
    return sink.text;
  }

  const HttpLimits limits_;
  HeadPools pools_;
  std::unique_ptr<ServerCodec> codec_ =
      MakeHttp1ServerCodec(limits_, pools_, UnderscoreNames::kRefuse);
  std::string rest_;
  std::string data_;
};

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

TEST_F(ServerFlowTest, ServesRequestAfterRequest) {
  EXPECT_TRUE(codec_->Idle());
  for (StreamId i = 1; i <= 3; ++i) {
    const ServerEvent event = Feed(kGet);
    ASSERT_EQ(event.kind, EventKind::kHead);
    EXPECT_EQ(event.stream, i);
    EXPECT_FALSE(codec_->Idle());
    EXPECT_EQ(Respond(i, 200), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    EXPECT_TRUE(codec_->Idle());
    EXPECT_FALSE(codec_->Closing());
  }
}

TEST_F(ServerFlowTest, APipelinedRequestWaitsForTheResponse) {
  ServerEvent event = Feed(std::string(kGet) + "POST /next HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(event.kind, EventKind::kHead);
  EXPECT_EQ(Feed("").kind, EventKind::kBlocked);
  Respond(1, 200);
  event = Feed("");
  ASSERT_EQ(event.kind, EventKind::kHead);
  EXPECT_EQ(event.head->target, "/next");
  EXPECT_EQ(event.stream, 2u);
}

TEST_F(ServerFlowTest, InHeadFromTheFirstByteToTheLast) {
  EXPECT_FALSE(codec_->InHead());
  EXPECT_EQ(Feed("G").kind, EventKind::kNeedMore);
  EXPECT_TRUE(codec_->InHead());
  EXPECT_FALSE(codec_->Idle());
  EXPECT_EQ(Feed("ET / HTTP/1.1\r\nHost: a\r\n\r\n").kind, EventKind::kHead);
  EXPECT_FALSE(codec_->InHead());
}

TEST_F(ServerFlowTest, ARefusalBeforeTheBodyWasReadCloses) {
  const ServerEvent event =
      Feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\n" + std::string(kGet));
  ASSERT_EQ(event.kind, EventKind::kHead);
  EXPECT_TRUE(codec_->BodyPending(1));
  EXPECT_EQ(Respond(1, 403),
            "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(codec_->Closing());
  EXPECT_EQ(Feed("").kind, EventKind::kNeedMore) << "the body is never read as a request";
}

TEST_F(ServerFlowTest, AResponseThatEndsBeforeTheBodyCloses) {
  Feed("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  OutgoingResponse response;
  response.status = 200;
  response.body = BodyKind::kChunked;
  Respond(1, response, End::kNo);
  Finish(1);
  EXPECT_TRUE(codec_->Closing());
}

TEST_F(ServerFlowTest, ARefusalAfterTheBodyWasReadKeepsTheConnection) {
  ServerEvent event = Feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
  codec_->Credit(1, 10);
  EXPECT_EQ(Feed("").data, "x");
  EXPECT_EQ(Feed("").kind, EventKind::kEnd);
  EXPECT_EQ(Respond(1, 403), "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(codec_->Idle());
}

TEST_F(ServerFlowTest, FramesBodiesByWhatIsKnown) {
  Feed(kGet);
  OutgoingResponse response;
  response.status = 200;
  response.body = BodyKind::kLength;
  response.content_length = 3;
  EXPECT_EQ(Respond(1, response, End::kNo), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
  EXPECT_EQ(Body(1, "abc"), "abc");
  EXPECT_EQ(Finish(1), "");
  EXPECT_TRUE(codec_->Idle());

  Feed(kGet);
  response.body = BodyKind::kUntilClose;
  EXPECT_EQ(Respond(2, response, End::kNo),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  EXPECT_EQ(Body(2, "0123456789abcdefX"), "11\r\n0123456789abcdefX\r\n");
  EXPECT_EQ(Body(2, ""), "") << "an empty chunk would end the body";
  EXPECT_EQ(Finish(2), "0\r\n\r\n");
  EXPECT_TRUE(codec_->Idle());
}

TEST_F(ServerFlowTest, AnHttp10PeerGetsNoChunks) {
  Feed("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
  OutgoingResponse response;
  response.status = 200;
  response.body = BodyKind::kChunked;
  EXPECT_EQ(Respond(1, response, End::kNo), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(Body(1, "abc"), "abc");
  Finish(1);
  EXPECT_TRUE(codec_->Closing());
}

TEST_F(ServerFlowTest, HeadNoContentAndNotModifiedHaveNoBody) {
  Feed("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  OutgoingResponse response;
  response.status = 200;
  response.body = BodyKind::kLength;
  response.content_length = 3;
  EXPECT_EQ(Respond(1, response, End::kNo), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
  EXPECT_EQ(Body(1, "abc"), "");
  Finish(1);
  EXPECT_TRUE(codec_->Idle());

  Feed(kGet);
  EXPECT_EQ(Respond(2, 204), "HTTP/1.1 204 No Content\r\n\r\n");
  Feed(kGet);
  EXPECT_EQ(Respond(3, 304), "HTTP/1.1 304 Not Modified\r\n\r\n");
  EXPECT_TRUE(codec_->Idle());
}

TEST_F(ServerFlowTest, ABodyThatBreaksItsPromiseCutsTheConnection) {
  OutgoingResponse response;
  response.status = 200;
  response.body = BodyKind::kLength;
  response.content_length = 3;
  Feed(kGet);
  Respond(1, response, End::kNo);
  Body(1, "ab");
  Finish(1);
  EXPECT_TRUE(codec_->Closing()) << "too short";

  codec_ = MakeHttp1ServerCodec(limits_, pools_, UnderscoreNames::kRefuse);
  Feed(kGet);
  Respond(1, response, End::kNo);
  EXPECT_EQ(Body(1, "abcHTTP/1.1 200 OK\r\n\r\n"), "abc");
  EXPECT_TRUE(codec_->Closing()) << "too long";
}

TEST_F(ServerFlowTest, AnAbortedChunkedBodyHasNoEnd) {
  Feed(kGet);
  OutgoingResponse response;
  response.status = 200;
  response.body = BodyKind::kChunked;
  Respond(1, response, End::kNo);
  StringSink sink;
  codec_->Abort(1, sink);
  EXPECT_EQ(sink.text, "");
  EXPECT_TRUE(codec_->Closing());
  EXPECT_EQ(Finish(1), "");
}

TEST_F(ServerFlowTest, InterimResponsesGoOut) {
  Feed("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n");
  StringSink sink;
  OutgoingResponse response;
  response.status = 100;
  codec_->SendInterim(1, response, sink);
  EXPECT_EQ(sink.text, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_TRUE(codec_->MayRefuse()) << "an interim response is not the answer yet";
}

TEST_F(ServerFlowTest, AnHttp10PeerGetsNoInterimResponse) {
  Feed("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
  StringSink sink;
  OutgoingResponse response;
  response.status = 100;
  codec_->SendInterim(1, response, sink);
  EXPECT_EQ(sink.text, "");
}

TEST_F(ServerFlowTest, DrainEndsAnIdleConnectionAtOnceAndABusyOneAfterItsResponse) {
  StringSink sink;
  Feed(kGet);
  codec_->Drain(sink);
  EXPECT_FALSE(codec_->Closing());
  EXPECT_EQ(Respond(1, 200), "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(codec_->Closing());

  codec_ = MakeHttp1ServerCodec(limits_, pools_, UnderscoreNames::kRefuse);
  codec_->Drain(sink);
  EXPECT_TRUE(codec_->Closing());
}

TEST_F(ServerFlowTest, ACloseInsideAMessageIsTruncation) {
  ServerEvent event;
  Feed("GET / HT");
  codec_->ReceiveEnd(event);
  EXPECT_EQ(event.error, HttpError::kTruncated);

  codec_ = MakeHttp1ServerCodec(limits_, pools_, UnderscoreNames::kRefuse);
  rest_.clear();
  Feed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  codec_->ReceiveEnd(event);
  EXPECT_EQ(event.error, HttpError::kTruncated);
  EXPECT_FALSE(codec_->MayRefuse());
}

TEST_F(ServerFlowTest, AHalfClosedPeerStillGetsItsResponse) {
  Feed(kGet);
  ServerEvent event;
  codec_->ReceiveEnd(event);
  EXPECT_EQ(event.kind, EventKind::kNeedMore);
  EXPECT_EQ(Respond(1, 200), "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  EXPECT_TRUE(codec_->Closing());
}

constexpr std::string_view kUpgrade =
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

TEST_F(ServerFlowTest, AnUpgradedConnectionIsATunnel) {
  const ServerEvent event = Feed(kUpgrade);
  ASSERT_EQ(event.kind, EventKind::kHead);
  EXPECT_EQ(event.head->upgrade, "websocket");
  OutgoingResponse response;
  response.status = 101;
  response.upgrade = "websocket";
  EXPECT_EQ(Respond(1, response, End::kNo),
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "
            "websocket\r\n\r\n");
  EXPECT_EQ(Feed("raw").kind, EventKind::kBlocked);
  codec_->Credit(1, 2);
  EXPECT_EQ(Feed("").data, "ra");
  EXPECT_EQ(Body(1, "back"), "back");
  ServerEvent end;
  codec_->ReceiveEnd(end);
  EXPECT_EQ(end.kind, EventKind::kEnd);
  EXPECT_FALSE(codec_->Closing()) << "half closed";
  Finish(1);
  EXPECT_TRUE(codec_->Closing());
}

TEST_F(ServerFlowTest, AnUpgradeToWhatCarriesRequestsIsIgnored) {
  for (const char* protocol : {"h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c", ""}) {
    const ServerEvent event = Feed(Concat(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ", protocol, "\r\n\r\n"));
    ASSERT_EQ(event.kind, EventKind::kHead) << protocol;
    EXPECT_EQ(event.head->upgrade, "") << protocol;
    codec_ = MakeHttp1ServerCodec(limits_, pools_, UnderscoreNames::kRefuse);
  }
}

TEST_F(ServerFlowTest, BytesWithAnUpgradeAreRefused) {
  const ServerEvent event = Feed(std::string(kUpgrade) + "x");
  EXPECT_EQ(event.kind, EventKind::kError);
  EXPECT_EQ(event.error, HttpError::kEarlyUpgradeBytes);
  EXPECT_EQ(StatusOf(event.error), 400);
}

TEST_F(ServerFlowTest, BytesBeforeTheAnswerToAnUpgradeAreRefused) {
  ASSERT_EQ(Feed(kUpgrade).kind, EventKind::kHead);
  EXPECT_EQ(Feed("x").error, HttpError::kEarlyUpgradeBytes);
}

TEST_F(ServerFlowTest, ARefusedUpgradeLeavesTheConnectionUsable) {
  Feed(kUpgrade);
  Respond(1, 403);
  EXPECT_TRUE(codec_->Idle());
  EXPECT_EQ(Feed(kGet).kind, EventKind::kHead);
}

TEST_F(ServerFlowTest, ASwitchThatNobodyAskedForCutsTheConnection) {
  Feed(kGet);
  OutgoingResponse response;
  response.status = 101;
  EXPECT_EQ(Respond(1, response, End::kNo), "");
  EXPECT_TRUE(codec_->Closing());
}

TEST(HeadPoolTest, GivesBackASpareHeadCleared) {
  HeadPool<RequestHead> pool;
  RequestHead* first = nullptr;
  {
    const RequestHeadPtr head = pool.Take();
    head->method = "GET";
    head->headers.emplace_back();
    first = head.get();
  }
  const RequestHeadPtr again = pool.Take();
  EXPECT_EQ(again.get(), first);
  EXPECT_TRUE(again->method.empty());
  EXPECT_TRUE(again->headers.empty());
}

}  // namespace
}  // namespace countersign::proxy::http
