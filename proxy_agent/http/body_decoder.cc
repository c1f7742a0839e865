#include "proxy_agent/http/body_decoder.h"

#include <algorithm>

#include "proxy_agent/http/fields.h"
#include "proxy_agent/http/head_parser.h"

namespace countersign::proxy::http {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

}  // namespace

void BodyDecoder::Start(BodyKind kind, uint64_t content_length) {
  kind_ = kind;
  remaining_ = content_length;
  total_ = 0;
  size_digits_ = 0;
  extension_bytes_ = 0;
  trailers_.headers.clear();
  trailers_.text.clear();
  trailer_scanner_.Reset();
  switch (kind) {
    case BodyKind::kNone:
      state_ = State::kDone;
      return;
    case BodyKind::kLength:
      state_ = content_length > 0 ? State::kData : State::kDone;
      return;
    case BodyKind::kChunked:
      remaining_ = 0;
      state_ = State::kSize;
      return;
    case BodyKind::kUntilClose:
      state_ = State::kUntilClose;
      return;
  }
}

BodyDecoder::Step BodyDecoder::Fail(HttpError error, size_t consumed) {
  state_ = State::kFailed;
  return {.result = Result::kError, .consumed = consumed, .data = {}, .error = error};
}

BodyDecoder::Step BodyDecoder::TakeData(std::string_view bytes, size_t consumed, uint64_t credit) {
  if (credit == 0) {
    return {.result = Result::kBlocked, .consumed = consumed, .data = {}};
  }
  uint64_t size = std::min<uint64_t>(bytes.size(), credit);
  if (state_ == State::kData) {
    size = std::min(size, remaining_);
    remaining_ -= size;
    if (remaining_ == 0) {
      state_ = kind_ == BodyKind::kChunked ? State::kDataCr : State::kDone;
    }
  }
  return {.result = Result::kData,
          .consumed = consumed + static_cast<size_t>(size),
          .data = bytes.substr(0, static_cast<size_t>(size))};
}

// RFC 9112 section 7.1: chunk-size [ chunk-ext ] CRLF. Extensions are dropped, as section 7.1.1
// demands of who does not know them, but only after their bytes were checked and counted.
HttpError BodyDecoder::StepSize(char c) {
  if (state_ == State::kSizeLf) {
    if (c != '\n') {
      return HttpError::kBareCr;
    }
    size_digits_ = 0;
    state_ = remaining_ > 0 ? State::kData : State::kTrailers;
    return HttpError::kNone;
  }
  if (state_ == State::kSize) {
    constexpr uint8_t kSizeDigitsMax = 15;  // Cannot overflow.
    if (const int digit = HexValue(c); digit >= 0) {
      if (++size_digits_ > kSizeDigitsMax) {
        return HttpError::kBadChunkSize;
      }
      remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
      return HttpError::kNone;
    }
    if (size_digits_ == 0 || (c != ';' && c != '\r')) {
      return c == '\n' ? HttpError::kBareLf : HttpError::kBadChunkSize;
    }
    total_ += remaining_;
    if (total_ > limits_.body_bytes_max) {
      return HttpError::kBodyTooLarge;
    }
  }
  if (c == '\r') {
    state_ = State::kSizeLf;
    return HttpError::kNone;
  }
  state_ = State::kExtension;
  if (!IsFieldByte(c)) {
    return c == '\n' ? HttpError::kBareLf : HttpError::kControlByte;
  }
  return ++extension_bytes_ > limits_.chunk_extension_bytes_max ? HttpError::kChunkExtensionTooLong
                                                                : HttpError::kNone;
}

BodyDecoder::Step BodyDecoder::StepTrailers(std::string_view bytes, size_t consumed) {
  size_t taken = 0;
  const auto result =
      trailer_scanner_.Scan(bytes, limits_.trailer_bytes_max, trailers_.text, taken);
  if (result == HeadScanner::Result::kNeedMore) {
    return {.result = Result::kNeedMore, .consumed = consumed + taken, .data = {}};
  }
  HttpError error = trailer_scanner_.error();
  if (error == HttpError::kHeadTooLarge) {
    error = HttpError::kTrailersTooLarge;
  }
  if (error == HttpError::kNone) {
    error = ParseTrailers(limits_, underscores_, trailers_);
  }
  if (error != HttpError::kNone) {
    return Fail(error, consumed + taken);
  }
  state_ = State::kDone;
  return {.result = Result::kEnd, .consumed = consumed + taken, .data = {}};
}

BodyDecoder::Step BodyDecoder::Next(std::string_view bytes, uint64_t credit) {
  size_t at = 0;
  if (state_ == State::kDone) {
    return {.result = Result::kEnd, .consumed = 0, .data = {}};
  }
  while (at < bytes.size()) {
    switch (state_) {
      case State::kData:
      case State::kUntilClose:
        return TakeData(bytes.substr(at), at, credit);
      case State::kTrailers:
        return StepTrailers(bytes.substr(at), at);
      case State::kDataCr:
      case State::kDataLf:
        if (bytes[at] != (state_ == State::kDataCr ? '\r' : '\n')) {
          return Fail(HttpError::kBadChunkFraming, at + 1);
        }
        state_ = state_ == State::kDataCr ? State::kDataLf : State::kSize;
        ++at;
        break;
      case State::kSize:
      case State::kExtension:
      case State::kSizeLf:
        if (const HttpError error = StepSize(bytes[at]); error != HttpError::kNone) {
          return Fail(error, at + 1);
        }
        ++at;
        break;
      case State::kDone:
      case State::kFailed:
        return Fail(HttpError::kBadChunkFraming, at);
    }
  }
  return {.result = Result::kNeedMore, .consumed = at, .data = {}};
}

}  // namespace countersign::proxy::http
