// Heads of requests and responses, parsed once and never looked at again as bytes.
//
// A head owns the bytes that its views point into; an exchange keeps it until it ends. Heads come
// from a worker's HeadPool, so that a busy connection allocates nothing and an idle one holds none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace countersign::proxy::http {

// HttpLimits bounds what one message may cost before it is judged. Every breach has its HttpError.
struct HttpLimits {
  size_t head_bytes_max =
      32 * 1024;             // Common servers take 8 to 60 KiB; more is a bug or an attack.
  size_t headers_max = 100;  // As Envoy; bounds every later walk over the fields.
  size_t target_bytes_max = 8 * 1024;       // RFC 9112 section 3 asks for 8000 at least.
  size_t chunk_extension_bytes_max = 1024;  // Per body, all chunks together; nobody uses them.
  size_t trailer_bytes_max = 8 * 1024;      // Trailers are small: grpc-status, digests.
  size_t trailers_max = 32;
  size_t interim_responses_max = 16;     // 100, 102 and 103; more is an upstream gone wild.
  uint64_t body_bytes_max = UINT64_MAX;  // No limit: bodies stream by credit and are never held.
};

// HeaderId names the fields that the proxy itself must understand.
enum class HeaderId : uint8_t {
  kOther,
  kAuthorization,
  kConnection,
  kContentLength,
  kContentType,
  kExpect,
  kForwarded,
  kHost,
  kHttp2Settings,
  kKeepAlive,
  kProxyConnection,
  kRetryAfter,
  kTe,
  kTraceparent,
  kTracestate,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
  kXForwardedClientCert,
};

// HeaderFate says what becomes of a received field. What is judged and what is forwarded are one
// list: IsJudged().
enum class HeaderFate : uint8_t {
  kEndToEnd,
  kLength,    // content-length: judged; the codec writes it from the head's framing.
  kHost,      // Judged and forwarded as RequestHead::authority.
  kHopByHop,  // Belongs to this connection alone: neither judged nor forwarded.
  kInternal,  // x-envoy-*, x-forwarded-*, forwarded, l5d-*, x-countersign-*: ours to set, from
              // nobody to take; removed before judging.
};

// Header is one field line. Names are in lower case; values have no surrounding white space.
struct Header {
  HeaderId id = HeaderId::kOther;
  HeaderFate fate = HeaderFate::kEndToEnd;
  std::string_view name;
  std::string_view value;
};

// IsJudged says whether the field belongs in CanonicalRequest::headers.
constexpr bool IsJudged(const Header& header) {
  return header.fate == HeaderFate::kEndToEnd || header.fate == HeaderFate::kLength;
}

enum class HttpVersion : uint8_t { kHttp10, kHttp11, kHttp2 };

// BodyKind says how long a body is. kUntilClose is for responses only.
enum class BodyKind : uint8_t { kNone, kLength, kChunked, kUntilClose };

// MessageHead owns the text of a head and the list of its fields.
struct MessageHead {
  MessageHead() = default;
  MessageHead(const MessageHead&) = delete;  // The views would point into the other one.
  MessageHead& operator=(const MessageHead&) = delete;

  // Find is the first field with that id, or null.
  const Header* Find(HeaderId id) const;

  std::string text;  // What the views borrow; complete before any view is made.
  std::vector<Header> headers;
  HttpVersion version = HttpVersion::kHttp11;
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;  // If body is kLength; or, in the answer to HEAD, informative.
};

// RequestHead is a request that obeys every rule of RFC 9112 and our stricter ones.
struct RequestHead : MessageHead {
  bool is_head() const { return method == "HEAD"; }

  std::string_view method;
  std::string_view target;     // Path and query, or "*" (OPTIONS only). Not canonical yet.
  std::string_view authority;  // Host with its port, as received; never empty.
  std::string_view upgrade;    // "websocket", if the peer asks for it; others are ignored.
  bool keep_alive = true;      // What the peer wishes; ServerCodec::KeepAlive() decides.
  bool expects_continue = false;

  void Clear();
};

// ResponseHead is a response, final or interim (1xx).
struct ResponseHead : MessageHead {
  int status = 0;
  std::string_view reason;   // Never forwarded: RFC 9112 section 4 lets it go.
  std::string_view upgrade;  // With status 101.
  bool keep_alive = true;

  void Clear();
};

// HeadPool keeps spare heads of one worker. Belongs to that worker's thread and outlives every
// HeadPtr that it gave.
template <class T>
class HeadPool {
 public:
  struct Return {
    HeadPool* pool = nullptr;
    void operator()(T* head) const { pool->Put(std::unique_ptr<T>(head)); }
  };
  using Ptr = std::unique_ptr<T, Return>;

  explicit HeadPool(size_t spare_max = 256) : spare_max_(spare_max) {}
  HeadPool(const HeadPool&) = delete;
  HeadPool& operator=(const HeadPool&) = delete;

  Ptr Take() {
    if (spare_.empty()) {
      return Ptr(new T(), Return{this});
    }
    Ptr head(spare_.back().release(), Return{this});
    spare_.pop_back();
    return head;
  }

 private:
  // A head that once grew large is not worth keeping.
  static constexpr size_t kSpareTextBytesMax = 4096;

  void Put(std::unique_ptr<T> head) {
    if (spare_.size() < spare_max_ && head->text.capacity() <= kSpareTextBytesMax) {
      head->Clear();
      spare_.push_back(std::move(head));
    }
  }

  const size_t spare_max_;
  std::vector<std::unique_ptr<T>> spare_;
};
using RequestHeadPtr = HeadPool<RequestHead>::Ptr;
using ResponseHeadPtr = HeadPool<ResponseHead>::Ptr;

// HeadPools is what a codec borrows from its worker.
struct HeadPools {
  HeadPool<RequestHead> requests;
  HeadPool<ResponseHead> responses;
};

}  // namespace countersign::proxy::http
