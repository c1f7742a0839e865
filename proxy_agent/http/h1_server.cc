#include "proxy_agent/http/h1_server.h"

#include <algorithm>

#include "proxy_agent/http/fields.h"
#include "proxy_agent/http/head_parser.h"

namespace countersign::proxy::http {

size_t Http1ServerCodec::Receive(std::string_view bytes, ServerEvent& event) {
  event = ServerEvent();
  event.stream = stream_;
  switch (in_) {
    case In::kHead:
      return bytes.empty() ? 0 : ReceiveHead(bytes, event);
    case In::kBody:
      return ReceiveBody(bytes, event);
    case In::kTurn:
      event.kind = bytes.empty() ? EventKind::kNeedMore : EventKind::kBlocked;
      return 0;
    case In::kTunnelTurn:
      return bytes.empty() ? 0 : Fail(HttpError::kEarlyUpgradeBytes, bytes.size(), event);
    case In::kTunnel:
      return ReceiveTunnel(bytes, event);
    case In::kClosed:
      return bytes.size();
  }
  return 0;
}

size_t Http1ServerCodec::Fail(HttpError error, size_t consumed, ServerEvent& event) {
  event.kind = EventKind::kError;
  event.error = error;
  in_ = In::kClosed;
  keep_alive_ = false;
  head_.reset();
  if (out_ == Out::kDone) {
    closing_ = true;
  }
  return consumed;
}

HeadScanner::Result Http1ServerCodec::ScanHead(std::string_view bytes, size_t& consumed,
                                               HttpError& error) {
  using Result = HeadScanner::Result;
  Result result = Result::kNeedMore;
  if (!line_checked_) {
    const size_t lf = bytes.find('\n');
    const std::string_view first = bytes.substr(0, lf == std::string_view::npos ? lf : lf + 1);
    result = scanner_.Scan(first, limits_.head_bytes_max, head_->text, consumed);
    error = scanner_.error();
    if (result != Result::kNeedMore || lf == std::string_view::npos) {
      return result;
    }
    line_checked_ = true;
    error = CheckRequestLine(limits_, head_->text);
    if (error != HttpError::kNone) {
      return Result::kError;
    }
  }
  size_t more = 0;
  result = scanner_.Scan(bytes.substr(consumed), limits_.head_bytes_max, head_->text, more);
  error = scanner_.error();
  consumed += more;
  return result;
}

size_t Http1ServerCodec::ReceiveHead(std::string_view bytes, ServerEvent& event) {
  if (head_ == nullptr) {
    // Other protocols (a TLS record, say) are told apart by their first byte.
    if (bytes.front() < 'A' || bytes.front() > 'Z') {
      return Fail(HttpError::kBadMethod, 1, event);
    }
    head_ = pools_.requests.Take();
    scanner_.Reset();
    line_checked_ = false;
  }
  size_t consumed = 0;
  HttpError scan_error = HttpError::kNone;
  switch (ScanHead(bytes, consumed, scan_error)) {
    case HeadScanner::Result::kNeedMore:
      return consumed;
    case HeadScanner::Result::kError:
      return Fail(scan_error, consumed, event);
    case HeadScanner::Result::kComplete:
      break;
  }
  if (const HttpError error = ParseRequestHead(limits_, underscores_, *head_);
      error != HttpError::kNone) {
    return Fail(error, consumed, event);
  }
  const RequestHead& head = *head_;
  if (!head.upgrade.empty() && consumed < bytes.size()) {
    return Fail(HttpError::kEarlyUpgradeBytes, consumed, event);
  }
  body_.Start(head.body, head.content_length);
  is_head_ = head.is_head();
  is_http10_ = head.version == HttpVersion::kHttp10;
  keep_alive_ = keep_alive_ && head.keep_alive;
  credit_ = 0;
  if (!body_.done()) {
    in_ = In::kBody;
  } else {
    in_ = head.upgrade.empty() ? In::kTurn : In::kTunnelTurn;
  }
  event.kind = EventKind::kHead;
  event.end = body_.done() ? End::kYes : End::kNo;
  event.head = std::move(head_);
  return consumed;
}

size_t Http1ServerCodec::ReceiveBody(std::string_view bytes, ServerEvent& event) {
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
      in_ = In::kTurn;
      FinishIfDone();
      break;
    case BodyDecoder::Result::kError:
      return Fail(step.error, step.consumed, event);
  }
  return step.consumed;
}

size_t Http1ServerCodec::ReceiveTunnel(std::string_view bytes, ServerEvent& event) {
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

void Http1ServerCodec::ReceiveEnd(ServerEvent& event) {
  event = ServerEvent();
  event.stream = stream_;
  switch (in_) {
    case In::kHead:
      if (head_ != nullptr) {
        Fail(HttpError::kTruncated, 0, event);
      }
      Close();
      return;
    case In::kBody:
      if (body_.done()) {  // Its end was not told yet.
        ReceiveBody({}, event);
        keep_alive_ = false;
        return;
      }
      Fail(HttpError::kTruncated, 0, event);
      closing_ = true;  // Who does not finish a request gets no answer.
      return;
    case In::kTurn:
    case In::kTunnelTurn:
      keep_alive_ = false;
      in_ = In::kClosed;
      return;
    case In::kTunnel:
      event.kind = EventKind::kEnd;
      in_ = In::kClosed;
      closing_ = out_ == Out::kDone;
      return;
    case In::kClosed:
      return;
  }
}

void Http1ServerCodec::Credit(StreamId stream, size_t bytes) {
  if (stream == stream_) {
    credit_ += bytes;
  }
}

bool Http1ServerCodec::BodyPending(StreamId stream) const {
  return stream == stream_ && in_ == In::kBody && !body_.done();
}

void Http1ServerCodec::SendInterim(StreamId stream, const OutgoingResponse& response,
                                   ByteSink& sink) {
  // RFC 9110 section 15.2: "A server MUST NOT send a 1xx response to an HTTP/1.0 client."
  if (stream == stream_ && out_ == Out::kNothing && !is_http10_) {
    WriteResponseHead(response, {}, sink);
  }
}

ResponseFraming Http1ServerCodec::DecideFraming(const OutgoingResponse& response, End end) const {
  using Length = ResponseFraming::Length;
  ResponseFraming framing;
  // The rest of a request body that nobody will read must not be taken for the next request.
  framing.close = !keep_alive_ || (end == End::kYes && BodyPending(stream_));
  if (response.status < 200 || response.status == 204) {
    return framing;
  }
  if (response.body == BodyKind::kLength) {
    framing.length = Length::kLength;
    framing.content_length = response.content_length;
  } else if (is_head_ || response.status == 304) {
    return framing;
  } else if (end == End::kYes) {
    framing.length = Length::kLength;  // Zero.
  } else if (is_http10_) {
    framing.length = Length::kUntilClose;
    framing.close = true;
  } else {
    framing.length = Length::kChunked;
  }
  return framing;
}

void Http1ServerCodec::SendHead(StreamId stream, const OutgoingResponse& response, End end,
                                ByteSink& sink) {
  if (stream != stream_ || out_ != Out::kNothing || closing_) {
    return;
  }
  if (response.status == 101) {
    if (in_ == In::kTunnelTurn) {
      WriteResponseHead(response, {}, sink);
      in_ = In::kTunnel;
      out_ = Out::kTunnel;
    } else {
      Close();
    }
    return;
  }
  if (in_ == In::kTunnelTurn) {
    in_ = In::kTurn;
  }
  const ResponseFraming framing = DecideFraming(response, end);
  WriteResponseHead(response, framing, sink);
  keep_alive_ = !framing.close;
  out_ = Out::kBody;
  out_chunked_ = framing.length == ResponseFraming::Length::kChunked;
  out_dropped_ = is_head_ || response.status == 204 || response.status == 304;
  out_counted_ = framing.length == ResponseFraming::Length::kLength && !out_dropped_;
  out_remaining_ = framing.content_length;
  if (end == End::kYes) {
    SendEnd(stream, {}, sink);
  }
}

size_t Http1ServerCodec::SendBody(StreamId stream, std::string_view data, ByteSink& sink) {
  const bool open = out_ == Out::kBody || out_ == Out::kTunnel;
  if (stream != stream_ || !open || closing_ || data.empty()) {
    return data.size();
  }
  if (out_ == Out::kTunnel) {
    sink.Write(data);
  } else if (out_counted_) {
    // Bytes beyond the promised length would be read as the next response.
    const std::string_view fitting =
        data.substr(0, static_cast<size_t>(std::min<uint64_t>(data.size(), out_remaining_)));
    if (!fitting.empty()) {
      sink.Write(fitting);
    }
    out_remaining_ -= fitting.size();
    if (fitting.size() < data.size()) {
      Close();
    }
  } else if (out_chunked_ && !out_dropped_) {
    WriteChunk(data, sink);
  } else if (!out_dropped_) {
    sink.Write(data);
  }
  return data.size();
}

void Http1ServerCodec::SendEnd(StreamId stream, std::span<const Header> trailers, ByteSink& sink) {
  if (stream != stream_ || closing_) {
    return;
  }
  if (out_ == Out::kTunnel) {
    out_ = Out::kDone;
    closing_ = in_ == In::kClosed;
    return;
  }
  if (out_ != Out::kBody) {
    return;
  }
  if (out_counted_ && out_remaining_ > 0) {
    Close();  // Shorter than promised: only a cut connection tells the peer.
    return;
  }
  if (out_chunked_ && !out_dropped_) {
    WriteLastChunk(trailers, sink);
  }
  out_ = Out::kDone;
  FinishIfDone();
}

void Http1ServerCodec::Abort(StreamId stream, ByteSink& /*sink*/) {
  if (stream == stream_) {
    Close();
  }
}

bool Http1ServerCodec::MayRefuse() const { return out_ == Out::kNothing && !closing_; }

void Http1ServerCodec::SendError(int status, std::span<const Header> headers, std::string_view body,
                                 ByteSink& sink) {
  if (!MayRefuse()) {
    return;
  }
  keep_alive_ = false;
  OutgoingResponse response;
  response.status = status;
  response.headers = headers;
  response.internal = InternalHeaders::kKeep;
  response.body = BodyKind::kLength;
  response.content_length = body.size();
  ResponseFraming framing;
  framing.length = ResponseFraming::Length::kLength;
  framing.content_length = body.size();
  framing.close = true;
  WriteResponseHead(response, framing, sink);
  if (!is_head_ && !body.empty()) {
    sink.Write(body);
  }
  out_ = Out::kDone;
  Close();
}

void Http1ServerCodec::Drain(ByteSink& /*sink*/) {
  keep_alive_ = false;
  if (Idle()) {
    Close();
  }
}

void Http1ServerCodec::Close() {
  closing_ = true;
  in_ = In::kClosed;
  head_.reset();
}

// FinishIfDone begins the next exchange, or ends the connection.
void Http1ServerCodec::FinishIfDone() {
  if (out_ != Out::kDone) {
    return;
  }
  const bool body_done = in_ == In::kTurn || (in_ == In::kBody && body_.done());
  if (!keep_alive_ || !body_done) {
    Close();
    return;
  }
  in_ = In::kHead;
  out_ = Out::kNothing;
  is_head_ = false;
  is_http10_ = false;
  ++stream_;
}

std::unique_ptr<ServerCodec> MakeHttp1ServerCodec(const HttpLimits& limits, HeadPools& pools,
                                                  UnderscoreNames underscores) {
  return std::make_unique<Http1ServerCodec>(limits, pools, underscores);
}

}  // namespace countersign::proxy::http
