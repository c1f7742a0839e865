// The strict parser of HTTP/1.1 heads and trailers: refuses, never repairs.
//
// RFC 9112, made narrower wherever two readers are known to disagree. One pass over the bytes into
// views; the only change to them is that field names become lower case.
#pragma once

#include <string_view>

#include "proxy_agent/http/codec.h"

namespace countersign::proxy::http {

// ParseRequestHead reads head.text (a whole head, up to and with its empty line, every LF after a
// CR as HeadScanner leaves it) and fills everything else. On an error the head is of no use.
HttpError ParseRequestHead(const HttpLimits& limits, UnderscoreNames underscores,
                           RequestHead& head);

// CheckRequestLine reads the first line alone, so that what is no HTTP is refused before the rest
// of a head is waited for. It finds what ParseRequestHead would find in that line.
HttpError CheckRequestLine(const HttpLimits& limits, std::string_view text);

// AnsweredRequest is what the parser of a response must know of its request.
struct AnsweredRequest {
  bool is_head = false;
  std::string_view upgrade;  // The protocol that was asked for.
};
HttpError ParseResponseHead(const HttpLimits& limits, const AnsweredRequest& request,
                            ResponseHead& head);

// ParseTrailers reads trailers.text, the lines after the last chunk with the empty line.
HttpError ParseTrailers(const HttpLimits& limits, UnderscoreNames underscores,
                        MessageHead& trailers);

}  // namespace countersign::proxy::http
