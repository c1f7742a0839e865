// Http1ClientCodec is the client side of one HTTP/1.1 connection to an upstream, which it trusts no
// more than a downstream.
//
// Private to this folder; the factory in codec.h makes it.
#pragma once

#include <string>

#include "proxy_agent/http/body_decoder.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/http/head_scanner.h"

namespace countersign::proxy::http {

class Http1ClientCodec final : public ClientCodec {
 public:
  Http1ClientCodec(const HttpLimits& limits, HeadPools& pools)
      : limits_(limits), pools_(pools), body_(limits, UnderscoreNames::kAllow) {}

  bool CanSend() const override { return in_ == In::kIdle; }
  StreamId SendRequest(const OutgoingRequest& request, End end, ByteSink& sink) override;
  size_t SendBody(StreamId stream, std::string_view data, ByteSink& sink) override;
  void SendEnd(StreamId stream, std::span<const Header> trailers, ByteSink& sink) override;
  void Abort(StreamId stream, ByteSink& sink) override;
  size_t Receive(std::string_view bytes, ClientEvent& event) override;
  void ReceiveEnd(CloseKind how, ClientEvent& event) override;
  void Credit(StreamId stream, size_t bytes) override;
  bool ResponseBegun(StreamId stream) const override {
    return stream == stream_ && response_begun_;
  }
  bool Reusable() const override { return in_ == In::kIdle && stream_ > 0; }

 private:
  enum class In : uint8_t {
    kIdle,  // No request runs: no byte may come.
    kHead,
    kBody,
    kTunnel,
    kClosed,
  };

  size_t ReceiveHead(std::string_view bytes, ClientEvent& event);
  size_t ReceiveBody(std::string_view bytes, ClientEvent& event);
  size_t ReceiveTunnel(std::string_view bytes, ClientEvent& event);
  size_t Fail(HttpError error, size_t consumed, ClientEvent& event);
  void FinishResponse();

  const HttpLimits& limits_;
  HeadPools& pools_;
  In in_ = In::kIdle;
  bool is_head_ = false;
  bool keep_alive_ = true;
  bool request_ended_ = true;
  bool response_begun_ = false;
  BodyKind request_body_ = BodyKind::kNone;
  uint64_t request_remaining_ = 0;
  size_t interim_responses_ = 0;
  StreamId stream_ = 0;
  uint64_t credit_ = 0;
  std::string upgrade_;  // What the request asked for.
  ResponseHeadPtr head_;
  HeadScanner scanner_;
  BodyDecoder body_;
};

}  // namespace countersign::proxy::http
