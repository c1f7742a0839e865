// Transcript: what a codec told about some bytes, as text that two feedings can be compared by.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy_agent/http/codec.h"

namespace countersign::proxy::http {

// StringSink keeps what was written.
class StringSink final : public ByteSink {
 public:
  void Write(std::string_view bytes) override { text.append(bytes); }
  std::string text;
};

// Pieces cuts `text` into pieces of at most `size` bytes; 0 means whole.
inline std::vector<std::string> Pieces(std::string_view text, size_t size) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t n = size == 0 ? text.size() : std::min(size, text.size());
    pieces.emplace_back(text.substr(0, n));  // Apart on the heap, so that ASan sees overreads.
    text.remove_prefix(n);
  }
  return pieces;
}

// ServerTranscript feeds requests to a server codec, answers each with an empty 200 at once, and
// says what was told. Neighbouring pieces of a body are joined.
std::string ServerTranscript(std::string_view bytes, size_t piece_bytes,
                             const HttpLimits& limits = {},
                             UnderscoreNames underscores = UnderscoreNames::kRefuse);

// ClientTranscript sends one request (method, perhaps an upgrade) and feeds the answer.
struct AskedRequest {
  std::string method = "GET";
  std::string upgrade;
  bool close = false;  // The upstream ends cleanly after the bytes.
};
std::string ClientTranscript(std::string_view bytes, size_t piece_bytes,
                             const AskedRequest& asked = {}, const HttpLimits& limits = {});

// ParsedRequest is one request that a fresh codec read whole from `bytes`.
struct ParsedRequest {
  HeadPools pools;
  HttpLimits limits;
  std::unique_ptr<ServerCodec> codec;
  RequestHeadPtr head;
  HttpError error = HttpError::kNone;
};
std::unique_ptr<ParsedRequest> ParseRequest(std::string_view bytes,
                                            UnderscoreNames underscores = UnderscoreNames::kRefuse);

}  // namespace countersign::proxy::http
