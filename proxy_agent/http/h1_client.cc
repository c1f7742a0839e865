#include "proxy_agent/http/h1_client.h"

#include <algorithm>

#include "base/status.h"
#include "proxy_agent/http/head_parser.h"
#include "proxy_agent/http/serializer.h"

namespace countersign::proxy::http {

StreamId Http1ClientCodec::SendRequest(const OutgoingRequest& request, End end, ByteSink& sink) {
  CHECK(CanSend());
  const RequestHead& head = *request.head;
  in_ = In::kHead;
  is_head_ = head.is_head();
  request_body_ = head.body;
  request_remaining_ = head.body == BodyKind::kLength ? head.content_length : 0;
  request_ended_ = false;
  response_begun_ = false;
  interim_responses_ = 0;
  credit_ = 0;
  upgrade_ = request.upgrade;
  ++stream_;
  WriteRequestHead(request, sink);
  if (end == End::kYes) {
    SendEnd(stream_, {}, sink);
  }
  return stream_;
}

size_t Http1ClientCodec::SendBody(StreamId stream, std::string_view data, ByteSink& sink) {
  if (stream != stream_ || in_ == In::kClosed || in_ == In::kIdle || data.empty()) {
    return data.size();
  }
  if (in_ == In::kTunnel) {
    sink.Write(data);
  } else if (!request_ended_ && request_body_ == BodyKind::kChunked) {
    WriteChunk(data, sink);
  } else if (!request_ended_) {
    CHECK(data.size() <= request_remaining_);  // The server codec counted the same length.
    request_remaining_ -= data.size();
    sink.Write(data);
  }
  return data.size();
}

void Http1ClientCodec::SendEnd(StreamId stream, std::span<const Header> trailers, ByteSink& sink) {
  if (stream != stream_ || request_ended_ || in_ == In::kClosed) {
    return;
  }
  if (in_ != In::kTunnel && upgrade_.empty()) {
    if (request_body_ == BodyKind::kChunked) {
      WriteLastChunk(trailers, sink);
    } else if (request_remaining_ > 0) {
      in_ = In::kClosed;  // Shorter than promised: the connection is of no more use.
    }
  }
  request_ended_ = true;
}

void Http1ClientCodec::Abort(StreamId stream, ByteSink& /*sink*/) {
  if (stream == stream_ && in_ != In::kIdle) {
    in_ = In::kClosed;
    head_.reset();
  }
}

size_t Http1ClientCodec::Fail(HttpError error, size_t consumed, ClientEvent& event) {
  event.kind = EventKind::kError;
  event.error = error;
  in_ = In::kClosed;
  head_.reset();
  return consumed;
}

size_t Http1ClientCodec::Receive(std::string_view bytes, ClientEvent& event) {
  event = ClientEvent();
  event.stream = stream_;
  switch (in_) {
    case In::kIdle:
      // What nobody asked for would be given to the next request.
      return bytes.empty() ? 0 : Fail(HttpError::kUnsolicited, bytes.size(), event);
    case In::kHead:
      return bytes.empty() ? 0 : ReceiveHead(bytes, event);
    case In::kBody:
      return ReceiveBody(bytes, event);
    case In::kTunnel:
      return ReceiveTunnel(bytes, event);
    case In::kClosed:
      return bytes.size();
  }
  return 0;
}

size_t Http1ClientCodec::ReceiveHead(std::string_view bytes, ClientEvent& event) {
  if (head_ == nullptr) {
    if (bytes.front() != 'H') {
      return Fail(HttpError::kBadStatusLine, 1, event);
    }
    head_ = pools_.responses.Take();
    scanner_.Reset();
    response_begun_ = true;
  }
  size_t consumed = 0;
  switch (scanner_.Scan(bytes, limits_.head_bytes_max, head_->text, consumed)) {
    case HeadScanner::Result::kNeedMore:
      return consumed;
    case HeadScanner::Result::kError:
      return Fail(scanner_.error(), consumed, event);
    case HeadScanner::Result::kComplete:
      break;
  }
  const AnsweredRequest request{.is_head = is_head_, .upgrade = upgrade_};
  if (const HttpError error = ParseResponseHead(limits_, request, *head_);
      error != HttpError::kNone) {
    return Fail(error, consumed, event);
  }
  const ResponseHead& head = *head_;
  if (head.status < 200 && head.status != 101) {
    if (++interim_responses_ > limits_.interim_responses_max) {
      return Fail(HttpError::kTooManyInterim, consumed, event);
    }
    event.kind = EventKind::kInterim;
    event.head = std::move(head_);
    return consumed;
  }
  if (head.status == 101) {
    in_ = In::kTunnel;
    event.kind = EventKind::kSwitched;
    request_ended_ = false;
    event.head = std::move(head_);
    return consumed;
  }
  keep_alive_ = head.keep_alive;
  const bool bodiless = is_head_ || head.status == 304;
  body_.Start(bodiless ? BodyKind::kNone : head.body, head.content_length);
  in_ = In::kBody;
  event.kind = EventKind::kHead;
  event.end = body_.done() ? End::kYes : End::kNo;
  event.head = std::move(head_);
  if (body_.done()) {
    FinishResponse();
  }
  return consumed;
}

size_t Http1ClientCodec::ReceiveBody(std::string_view bytes, ClientEvent& event) {
  const BodyDecoder::Step step = body_.Next(bytes, credit_);
  switch (step.result) {
    case BodyDecoder::Result::kNeedMore:
      break;
    case BodyDecoder::Result::kBlocked:
      event.kind = EventKind::kBlocked;
      break;
    case BodyDecoder::Result::kData:
      event.kind = EventKind::kBody;
      event.data = step.data;
      credit_ -= step.data.size();
      break;
    case BodyDecoder::Result::kEnd:
      event.kind = EventKind::kEnd;
      event.trailers = body_.trailers();
      FinishResponse();
      break;
    case BodyDecoder::Result::kError:
      return Fail(step.error, step.consumed, event);
  }
  return step.consumed;
}

size_t Http1ClientCodec::ReceiveTunnel(std::string_view bytes, ClientEvent& event) {
  if (bytes.empty()) {
    return 0;
  }
  if (credit_ == 0) {
    event.kind = EventKind::kBlocked;
    return 0;
  }
  const size_t size = static_cast<size_t>(std::min<uint64_t>(bytes.size(), credit_));
  credit_ -= size;
  event.kind = EventKind::kBody;
  event.data = bytes.substr(0, size);
  return size;
}

void Http1ClientCodec::ReceiveEnd(CloseKind how, ClientEvent& event) {
  event = ClientEvent();
  event.stream = stream_;
  const In was = in_;
  switch (was) {
    case In::kIdle:
      in_ = In::kClosed;
      return;
    case In::kTunnel:
    case In::kBody: {
      const bool complete =
          was == In::kTunnel || body_.done() || body_.kind() == BodyKind::kUntilClose;
      if (body_.done() || (complete && how == CloseKind::kClean)) {
        event.kind = EventKind::kEnd;
        in_ = was == In::kTunnel ? In::kTunnel : In::kClosed;
        return;
      }
      Fail(HttpError::kTruncated, 0, event);
      return;
    }
    case In::kHead:
      Fail(HttpError::kTruncated, 0, event);
      return;
    case In::kClosed:
      return;
  }
}

void Http1ClientCodec::Credit(StreamId stream, size_t bytes) {
  if (stream == stream_) {
    credit_ += bytes;
  }
}

// FinishResponse makes the connection idle if both messages ended, else unusable.
void Http1ClientCodec::FinishResponse() {
  in_ = keep_alive_ && request_ended_ ? In::kIdle : In::kClosed;
}

std::unique_ptr<ClientCodec> MakeHttp1ClientCodec(const HttpLimits& limits, HeadPools& pools) {
  return std::make_unique<Http1ClientCodec>(limits, pools);
}

}  // namespace countersign::proxy::http
