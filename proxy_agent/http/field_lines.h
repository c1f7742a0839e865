// What the heads of requests and responses share: lines, fields, version and framing.
//
// Used by the parsers alone.
#pragma once

#include <string_view>

#include "proxy_agent/http/codec.h"

namespace countersign::proxy::http {

// TakeLine cuts the next line, without its CRLF, off `rest`. HeadScanner saw every CRLF.
std::string_view TakeLine(std::string_view& rest);

// CheckBytes refuses what no line may contain.
HttpError CheckBytes(std::string_view text);

// ParseFields reads the lines up to the empty one into head.headers.
HttpError ParseFields(std::string_view rest, size_t headers_max, UnderscoreNames underscores,
                      MessageHead& head);

// ParseVersion accepts the two versions whose rules these parsers know.
HttpError ParseVersion(std::string_view text, HttpVersion& version);

// ConnectionOptions is what the connection fields of one head ask for.
struct ConnectionOptions {
  bool close = false;
  bool upgrade = false;
};

// Framing is what the fields of one head say about its body, each at most once.
struct Framing {
  bool has_length = false;
  bool chunked = false;
  bool has_upgrade = false;
  uint64_t length = 0;
  std::string_view upgrade;
  ConnectionOptions connection;
};

// ReadFramingField reads a field that requests and responses share.
HttpError ReadFramingField(const Header& header, Framing& framing);

// CheckFraming judges the fields together.
HttpError CheckFraming(const Framing& framing, const HttpLimits& limits, HttpVersion version);

}  // namespace countersign::proxy::http
