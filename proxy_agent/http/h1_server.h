// Http1ServerCodec is the server side of one HTTP/1.1 connection: one exchange at a time.
//
// Private to this folder; the factory in codec.h makes it.
#pragma once

#include "proxy_agent/http/body_decoder.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/http/head_scanner.h"
#include "proxy_agent/http/serializer.h"

namespace countersign::proxy::http {

class Http1ServerCodec final : public ServerCodec {
 public:
  Http1ServerCodec(const HttpLimits& limits, HeadPools& pools, UnderscoreNames underscores)
      : limits_(limits), pools_(pools), underscores_(underscores), body_(limits, underscores) {}

  size_t Receive(std::string_view bytes, ServerEvent& event) override;
  void ReceiveEnd(ServerEvent& event) override;
  void Credit(StreamId stream, size_t bytes) override;
  bool BodyPending(StreamId stream) const override;
  void SendInterim(StreamId stream, const OutgoingResponse& response, ByteSink& sink) override;
  void SendHead(StreamId stream, const OutgoingResponse& response, End end,
                ByteSink& sink) override;
  size_t SendBody(StreamId stream, std::string_view data, ByteSink& sink) override;
  void SendEnd(StreamId stream, std::span<const Header> trailers, ByteSink& sink) override;
  void Abort(StreamId stream, ByteSink& sink) override;
  bool MayRefuse() const override;
  void SendError(int status, std::span<const Header> headers, std::string_view body,
                 ByteSink& sink) override;
  void Drain(ByteSink& sink) override;
  bool Idle() const override { return in_ == In::kHead && head_ == nullptr && !closing_; }
  bool InHead() const override { return in_ == In::kHead && head_ != nullptr; }
  bool Closing() const override { return closing_; }

 private:
  // What is expected from the peer.
  enum class In : uint8_t {
    kHead,        // A request, or nothing.
    kBody,        // The rest of a request.
    kTurn,        // Nothing until the response is complete.
    kTunnelTurn,  // Nothing at all until 101: more is an error.
    kTunnel,
    kClosed,  // Whatever comes is dropped.
  };
  // What was sent to the peer.
  enum class Out : uint8_t { kNothing, kBody, kTunnel, kDone };

  size_t ReceiveHead(std::string_view bytes, ServerEvent& event);
  // ScanHead takes bytes up to the end of the head or of its first line, whichever comes first.
  HeadScanner::Result ScanHead(std::string_view bytes, size_t& consumed, HttpError& error);
  size_t ReceiveBody(std::string_view bytes, ServerEvent& event);
  size_t ReceiveTunnel(std::string_view bytes, ServerEvent& event);
  size_t Fail(HttpError error, size_t consumed, ServerEvent& event);
  ResponseFraming DecideFraming(const OutgoingResponse& response, End end) const;
  void Close();
  void FinishIfDone();

  const HttpLimits& limits_;
  HeadPools& pools_;
  const UnderscoreNames underscores_;
  In in_ = In::kHead;
  Out out_ = Out::kNothing;
  bool closing_ = false;
  bool keep_alive_ = true;  // Of this exchange, and no drain.
  bool is_head_ = false;
  bool is_http10_ = false;
  bool out_chunked_ = false;
  bool out_dropped_ = false;  // The response has no body, whatever is sent.
  bool out_counted_ = false;  // out_remaining_ is to reach zero.
  StreamId stream_ = 1;
  uint64_t credit_ = 0;
  uint64_t out_remaining_ = 0;
  RequestHeadPtr head_;  // While it arrives.
  HeadScanner scanner_;
  bool line_checked_ = false;  // The request line of head_.
  BodyDecoder body_;
};

}  // namespace countersign::proxy::http
