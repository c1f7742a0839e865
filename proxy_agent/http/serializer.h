// Writes HTTP/1.1 heads: only what the strict parser reads back as the same message.
#pragma once

#include <array>
#include <cstring>
#include <span>
#include <string_view>

#include "proxy_agent/http/codec.h"

namespace countersign::proxy::http {

// HeadWriter gathers small pieces so that a head costs the sink a call or two. Lives for one call.
class HeadWriter {
 public:
  explicit HeadWriter(ByteSink& sink) : sink_(sink) {}
  HeadWriter(const HeadWriter&) = delete;
  HeadWriter& operator=(const HeadWriter&) = delete;
  ~HeadWriter() { Flush(); }

  void Add(std::string_view text) {
    if (text.size() > buffer_.size() - size_) {
      Flush();
      if (text.size() > buffer_.size()) {
        sink_.Write(text);
        return;
      }
    }
    std::memcpy(buffer_.data() + size_, text.data(), text.size());
    size_ += text.size();
  }
  void AddField(std::string_view name, std::string_view value);
  void AddNumber(uint64_t value, int base);

 private:
  void Flush();

  ByteSink& sink_;
  size_t size_ = 0;
  std::array<char, 2048> buffer_;
};

// WriteRequestHead writes the head of one attempt. Fields that are not kEndToEnd are left out;
// host, length, framing and edits are its own.
void WriteRequestHead(const OutgoingRequest& request, ByteSink& sink);

// ResponseFraming is what ServerCodec decided about one response.
struct ResponseFraming {
  enum class Length : uint8_t { kNone, kLength, kChunked, kUntilClose };
  Length length = Length::kNone;
  uint64_t content_length = 0;
  bool close = false;  // Writes `connection: close`.
};
void WriteResponseHead(const OutgoingResponse& response, const ResponseFraming& framing,
                       ByteSink& sink);

// WriteChunk writes one non-empty chunk; WriteLastChunk the end with those trailers that are
// end-to-end.
void WriteChunk(std::string_view data, ByteSink& sink);
void WriteLastChunk(std::span<const Header> trailers, ByteSink& sink);

// ReasonPhrase is the usual phrase of a status code, or empty.
std::string_view ReasonPhrase(int status);

}  // namespace countersign::proxy::http
