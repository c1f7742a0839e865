// HeadScanner collects the bytes of one head, however they are cut, and finds its end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy_agent/http/error.h"

namespace countersign::proxy::http {

// HeadScanner looks for the empty line. It refuses a bare LF at once, so that no two readers can
// disagree on where a line ends; everything else is the parser's.
class HeadScanner {
 public:
  enum class Result : uint8_t { kNeedMore, kComplete, kError };

  // Scan appends to `text` up to the end of the head and says in `consumed` how many bytes that
  // were.
  Result Scan(std::string_view bytes, size_t head_bytes_max, std::string& text, size_t& consumed);
  HttpError error() const { return error_; }
  void Reset() { *this = HeadScanner(); }

 private:
  size_t line_at_ = 0;  // Where the line that is being read begins in the text.
  HttpError error_ = HttpError::kNone;
};

}  // namespace countersign::proxy::http
