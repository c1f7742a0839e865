// The sans-IO joint between bytes and exchanges: HTTP/1.1 is a codec with one stream at a time,
// HTTP/2 one with many.
//
// A codec never reads, writes, waits or looks at a clock. The driver gives it bytes that arrived
// and takes one event at a time; it hands over what is to be sent and the codec writes it, framed,
// into the driver's ByteSink. After kError or a Closing() verdict the driver writes what is in the
// sink and closes. Codecs belong to one worker and hold no head while idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "proxy_agent/http/error.h"
#include "proxy_agent/http/forward_edits.h"
#include "proxy_agent/http/head.h"

namespace countersign::proxy::http {

// StreamId names one exchange of a connection. HTTP/1.1 counts 1, 2, 3, ...
using StreamId = uint32_t;

// ByteSink takes bytes on their way out. It takes all of them before it returns (copied, encrypted
// or written), so that the caller may reuse the memory.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual void Write(std::string_view bytes) = 0;
};

enum class End : uint8_t { kNo, kYes };

// EventKind is what Receive() found.
enum class EventKind : uint8_t {
  kNeedMore,  // All given bytes are consumed, nothing to tell.
  kBlocked,   // Bytes are left that the codec will not take now: the stream has no credit, or the
              // next request waits for the end of this response. Keep them; do not read more.
  kHead,      // A request (server) or final response (client). `end` says that no body follows.
  kInterim,   // Client: a 1xx other than 101. Forward it or drop it.
  kSwitched,  // Client: 101. Both codecs are tunnels from here on; bodies are raw bytes.
  kBody,      // `data`, borrowed from the bytes given to Receive. Debited from the credit.
  kEnd,       // The message is complete; `trailers` borrowed until the next Receive.
  kReset,     // HTTP/2: the peer gave up this stream.
  kError,     // The connection is broken for good: `error`. Server: answer StatusOf(error) if
              // MayRefuse(), then close.
};

// ServerEvent and ClientEvent are what one Receive() tells.
struct ServerEvent {
  EventKind kind = EventKind::kNeedMore;
  StreamId stream = 0;
  RequestHeadPtr head;  // kHead: the exchange owns it from now on.
  std::string_view data;
  std::span<const Header> trailers;
  End end = End::kNo;
  HttpError error = HttpError::kNone;
};
struct ClientEvent {
  EventKind kind = EventKind::kNeedMore;
  StreamId stream = 0;
  ResponseHeadPtr head;  // kHead, kInterim, kSwitched.
  std::string_view data;
  std::span<const Header> trailers;
  End end = End::kNo;
  HttpError error = HttpError::kNone;
};

// OutgoingResponse is a response to write: an upstream's, or one of the proxy's own.
struct OutgoingResponse {
  int status = 0;
  std::span<const Header> headers;  // Fields that are not kEndToEnd are left out.
  InternalHeaders internal = InternalHeaders::kRemove;
  BodyKind body = BodyKind::kNone;  // kUntilClose becomes chunked, or closes an HTTP/1.0 client.
  uint64_t content_length = 0;      // If body is kLength.
  std::string_view upgrade;         // With status 101.
};

// OutgoingRequest is a judged request to write, for one attempt.
struct OutgoingRequest {
  const RequestHead* head = nullptr;  // Method, fields and body framing.
  std::string_view target;            // Canonical path with query: the bytes that were judged.
  std::string_view host;              // What was judged, with its port if it had one.
  ForwardEdits edits;
  std::string_view upgrade;  // The tunnel protocol to ask for; empty: none.
};

// ServerCodec faces the peer that sends requests.
class ServerCodec {
 public:
  virtual ~ServerCodec() = default;

  // Receive consumes bytes up to its first event and returns how many. Call it again with the rest
  // until kNeedMore or kBlocked.
  virtual size_t Receive(std::string_view bytes, ServerEvent& event) = 0;
  // ReceiveEnd says that the peer will send no more. kError/kTruncated inside a message, kEnd for a
  // tunnel, kNeedMore when it was idle or only waits for its response.
  virtual void ReceiveEnd(ServerEvent& event) = 0;

  // Credit lets `bytes` more of the stream's body through. A stream begins with none.
  virtual void Credit(StreamId stream, size_t bytes) = 0;
  // BodyPending is true while parts of the request's body have not been received: then the response
  // must close the connection (KeepAlive() knows).
  virtual bool BodyPending(StreamId stream) const = 0;

  // SendInterim writes a 1xx other than 101; for an HTTP/1.0 peer it writes nothing.
  virtual void SendInterim(StreamId stream, const OutgoingResponse& response, ByteSink& sink) = 0;
  // SendHead writes the head of the final response, or of 101, once per stream. With End::kYes no
  // body follows. The codec alone decides on connection, content-length and transfer-encoding.
  virtual void SendHead(StreamId stream, const OutgoingResponse& response, End end,
                        ByteSink& sink) = 0;
  // SendBody returns how many bytes it took: fewer only while the peer's window is full. Bytes for
  // a response that has no body (HEAD, 204, 304) are taken and dropped.
  virtual size_t SendBody(StreamId stream, std::string_view data, ByteSink& sink) = 0;
  // SendEnd ends the body. If the body is not as long as its head promised, the connection closes.
  virtual void SendEnd(StreamId stream, std::span<const Header> trailers, ByteSink& sink) = 0;
  // Abort gives the stream up after its head was sent: a reset, or for HTTP/1.1 the close of the
  // connection without the body's end, so that the peer sees that it was cut.
  virtual void Abort(StreamId stream, ByteSink& sink) = 0;

  // MayRefuse: an error response can still be written (no response has begun). SendError writes it
  // as a whole and makes the connection close.
  virtual bool MayRefuse() const = 0;
  virtual void SendError(int status, std::span<const Header> headers, std::string_view body,
                         ByteSink& sink) = 0;

  // Drain lets the running exchange end and then closes (GOAWAY, `connection: close`).
  virtual void Drain(ByteSink& sink) = 0;
  // Idle: no exchange runs and no byte of a next one has arrived. The idle time-out applies then,
  // the head time-out while InHead().
  virtual bool Idle() const = 0;
  virtual bool InHead() const = 0;
  // Closing: nothing more will come; close once the sink is written.
  virtual bool Closing() const = 0;
};

// ClientCodec faces an upstream that answers requests.
class ClientCodec {
 public:
  virtual ~ClientCodec() = default;

  // CanSend: another request may start on this connection now.
  virtual bool CanSend() const = 0;
  // SendRequest writes the head. With End::kYes no body follows. Expect: 100-continue is forwarded;
  // the driver holds the body until kInterim 100, a final head or its time-out.
  virtual StreamId SendRequest(const OutgoingRequest& request, End end, ByteSink& sink) = 0;
  virtual size_t SendBody(StreamId stream, std::string_view data, ByteSink& sink) = 0;
  virtual void SendEnd(StreamId stream, std::span<const Header> trailers, ByteSink& sink) = 0;
  // Abort gives the stream up; an HTTP/1.1 connection cannot be used again.
  virtual void Abort(StreamId stream, ByteSink& sink) = 0;

  virtual size_t Receive(std::string_view bytes, ClientEvent& event) = 0;
  // ReceiveEnd tells how the connection ended. A body that lasts until close is complete (kEnd)
  // only at CloseKind::kClean: TLS close_notify, or FIN on a plain socket; else kError/kTruncated.
  enum class CloseKind : uint8_t { kClean, kCut };
  virtual void ReceiveEnd(CloseKind how, ClientEvent& event) = 0;
  virtual void Credit(StreamId stream, size_t bytes) = 0;

  // ResponseBegun: a byte of the response has arrived (no retry by "reset before response").
  virtual bool ResponseBegun(StreamId stream) const = 0;
  // Reusable: the exchange ended wholly on both sides and the connection may serve another.
  virtual bool Reusable() const = 0;
};

// Factories. `limits` and `pools` are borrowed for the codec's life.
enum class UnderscoreNames : uint8_t { kRefuse, kAllow };
std::unique_ptr<ServerCodec> MakeHttp1ServerCodec(const HttpLimits& limits, HeadPools& pools,
                                                  UnderscoreNames underscores);
std::unique_ptr<ClientCodec> MakeHttp1ClientCodec(const HttpLimits& limits, HeadPools& pools);

}  // namespace countersign::proxy::http
