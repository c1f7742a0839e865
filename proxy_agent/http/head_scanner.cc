#include "proxy_agent/http/head_scanner.h"

#include <algorithm>

namespace countersign::proxy::http {

HeadScanner::Result HeadScanner::Scan(std::string_view bytes, size_t head_bytes_max,
                                      std::string& text, size_t& consumed) {
  const size_t before = text.size();
  const std::string_view window =
      bytes.substr(0, head_bytes_max - std::min(head_bytes_max, before));
  size_t from = 0;
  while (true) {
    const size_t lf = window.find('\n', from);
    if (lf == std::string_view::npos) {
      break;
    }
    const size_t end = before + lf;  // Of the line, with its CR.
    const bool has_cr = lf > 0 ? window[lf - 1] == '\r' : before > 0 && text.back() == '\r';
    if (end == line_at_ || !has_cr) {
      error_ = HttpError::kBareLf;
      consumed = lf + 1;
      return Result::kError;
    }
    const bool empty = end - line_at_ == 1;
    line_at_ = end + 1;
    from = lf + 1;
    if (empty) {
      text.append(window.substr(0, from));
      consumed = from;
      return Result::kComplete;
    }
  }
  text.append(window);
  consumed = window.size();
  if (window.size() < bytes.size()) {
    error_ = HttpError::kHeadTooLarge;
    return Result::kError;
  }
  return Result::kNeedMore;
}

}  // namespace countersign::proxy::http
