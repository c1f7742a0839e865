// BodyDecoder finds the pieces and the end of one HTTP/1.1 body, however its bytes are cut.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "proxy_agent/http/codec.h"
#include "proxy_agent/http/head_scanner.h"

namespace countersign::proxy::http {

// BodyDecoder is started for each body and then fed. Pieces borrow from what it is fed; it keeps
// only counters, and trailers if there are any. Belongs to its codec.
class BodyDecoder {
 public:
  enum class Result : uint8_t { kNeedMore, kBlocked, kData, kEnd, kError };
  struct Step {
    Result result = Result::kNeedMore;
    size_t consumed = 0;
    std::string_view data;
    HttpError error = HttpError::kNone;
  };

  BodyDecoder(const HttpLimits& limits, UnderscoreNames underscores)
      : limits_(limits), underscores_(underscores) {}

  // Start begins a body. A body of kNone or of length 0 is done() at once.
  void Start(BodyKind kind, uint64_t content_length);
  // Next takes bytes up to the first thing to tell, at most `credit` of them as data.
  Step Next(std::string_view bytes, uint64_t credit);
  bool done() const { return state_ == State::kDone; }
  BodyKind kind() const { return kind_; }
  // trailers is valid after kEnd until the next Start.
  std::span<const Header> trailers() const { return trailers_.headers; }

 private:
  enum class State : uint8_t {
    kDone,
    kData,        // remaining_ bytes of a length or a chunk.
    kUntilClose,  // All that comes.
    kSize,        // Hexadecimal digits.
    kExtension,   // From ';' to CR, dropped.
    kSizeLf,      // The LF after the CR of a size line.
    kDataCr,      // The CRLF after a chunk's data.
    kDataLf,
    kTrailers,
    kFailed,
  };

  Step Fail(HttpError error, size_t consumed);
  // StepSize consumes one byte of a size line.
  HttpError StepSize(char c);
  Step StepTrailers(std::string_view bytes, size_t consumed);
  Step TakeData(std::string_view bytes, size_t consumed, uint64_t credit);

  const HttpLimits& limits_;
  UnderscoreNames underscores_;
  BodyKind kind_ = BodyKind::kNone;
  State state_ = State::kDone;
  uint64_t remaining_ = 0;
  uint64_t total_ = 0;  // Of all chunks.
  uint8_t size_digits_ = 0;
  size_t extension_bytes_ = 0;
  MessageHead trailers_;
  HeadScanner trailer_scanner_;
};

}  // namespace countersign::proxy::http
