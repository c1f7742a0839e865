#include "proxy_agent/http/field_lines.h"

#include <utility>

#include "proxy_agent/http/fields.h"
#include "proxy_agent/http/head_parser.h"

namespace countersign::proxy::http {
namespace {

HttpError ParseName(std::string_view name, UnderscoreNames underscores) {
  if (name.empty()) {
    return HttpError::kEmptyHeaderName;
  }
  // The head owns its text and hands it out read-only; lowering the names here is the one edit.
  char* bytes = const_cast<char*>(name.data());
  for (size_t i = 0; i < name.size(); ++i) {
    const char lower = kTokenLower[static_cast<uint8_t>(bytes[i])];
    if (lower == 0) {
      const bool space = bytes[i] == ' ' || bytes[i] == '\t';
      return space ? HttpError::kSpaceBeforeColon : HttpError::kBadHeaderName;
    }
    if (lower == '_' && underscores == UnderscoreNames::kRefuse) {
      return HttpError::kUnderscoreInName;
    }
    bytes[i] = lower;
  }
  return HttpError::kNone;
}

// ParseConnection refuses options that would make us drop an end-to-end field after it was judged
// (RFC 9110 section 7.6.1 lets a sender name any field there).
HttpError ParseConnection(std::string_view list, ConnectionOptions& options) {
  std::string_view item;
  while (NextListItem(list, item)) {
    if (EqualsIgnoringCase(item, "close")) {
      options.close = true;
    } else if (EqualsIgnoringCase(item, "upgrade")) {
      options.upgrade = true;
    } else if (!EqualsIgnoringCase(item, "keep-alive") && !EqualsIgnoringCase(item, "te") &&
               !EqualsIgnoringCase(item, "http2-settings") &&
               !EqualsIgnoringCase(item, "trailer") &&
               !EqualsIgnoringCase(item, "proxy-connection")) {
      return HttpError::kBadConnectionOption;
    }
  }
  return HttpError::kNone;
}

}  // namespace

std::string_view TakeLine(std::string_view& rest) {
  const size_t lf = rest.find('\n');
  if (lf == std::string_view::npos || lf == 0) {
    rest = {};
    return {};
  }
  const std::string_view line = rest.substr(0, lf - 1);
  rest.remove_prefix(lf + 1);
  return line;
}

HttpError CheckBytes(std::string_view text) {
  for (const char c : text) {
    if (!IsFieldByte(c)) [[unlikely]] {
      return c == '\r' ? HttpError::kBareCr : HttpError::kControlByte;
    }
  }
  return HttpError::kNone;
}

HttpError ParseFields(std::string_view rest, size_t headers_max, UnderscoreNames underscores,
                      MessageHead& head) {
  for (std::string_view line = TakeLine(rest); !line.empty(); line = TakeLine(rest)) {
    if (line.front() == ' ' || line.front() == '\t') {
      return HttpError::kFoldedHeader;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      const HttpError error = CheckBytes(line);
      return error == HttpError::kNone ? HttpError::kBadHeaderName : error;
    }
    if (head.headers.size() == headers_max) {
      return HttpError::kTooManyHeaders;
    }
    Header header;
    header.name = line.substr(0, colon);
    if (const HttpError error = ParseName(header.name, underscores); error != HttpError::kNone) {
      return error;
    }
    header.value = TrimOws(line.substr(colon + 1));
    if (const HttpError error = CheckBytes(header.value); error != HttpError::kNone) {
      return error;
    }
    Classify(header);
    head.headers.push_back(header);
  }
  return HttpError::kNone;
}

HttpError ParseVersion(std::string_view text, HttpVersion& version) {
  if (text == "HTTP/1.1") {
    version = HttpVersion::kHttp11;
    return HttpError::kNone;
  }
  if (text == "HTTP/1.0") {
    version = HttpVersion::kHttp10;
    return HttpError::kNone;
  }
  const auto digit = [&](size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  if (text.size() == 8 && text.starts_with("HTTP/") && digit(5) && text[6] == '.' && digit(7)) {
    return HttpError::kVersionNotSupported;
  }
  return HttpError::kBadVersion;
}

HttpError ReadFramingField(const Header& header, Framing& framing) {
  switch (header.id) {
    case HeaderId::kContentLength: {
      const auto length = ParseContentLength(header.value);
      if (framing.has_length || !length) {
        return HttpError::kBadContentLength;
      }
      framing.has_length = true;
      framing.length = *length;
      return HttpError::kNone;
    }
    case HeaderId::kTransferEncoding:
      // Exactly this, once: every other spelling is read differently by somebody.
      if (framing.chunked || header.value != "chunked") {
        return HttpError::kBadTransferEncoding;
      }
      framing.chunked = true;
      return HttpError::kNone;
    case HeaderId::kConnection:
      return ParseConnection(header.value, framing.connection);
    case HeaderId::kUpgrade:
      if (framing.has_upgrade) {
        return HttpError::kDuplicateHeader;
      }
      framing.has_upgrade = true;
      framing.upgrade = header.value;
      return HttpError::kNone;
    default:
      return HttpError::kNone;
  }
}

HttpError CheckFraming(const Framing& framing, const HttpLimits& limits, HttpVersion version) {
  // RFC 9112 section 6.1: a message with both "ought to be handled as an error", and a server that
  // sees Transfer-Encoding in HTTP/1.0 "MUST treat the message as if the framing is faulty".
  if (framing.chunked && framing.has_length) {
    return HttpError::kLengthAndChunked;
  }
  if (framing.chunked && version == HttpVersion::kHttp10) {
    return HttpError::kChunkedInHttp10;
  }
  return framing.length > limits.body_bytes_max ? HttpError::kBodyTooLarge : HttpError::kNone;
}

HttpError ParseTrailers(const HttpLimits& limits, UnderscoreNames underscores,
                        MessageHead& trailers) {
  if (const HttpError error =
          ParseFields(trailers.text, limits.trailers_max, underscores, trailers);
      error != HttpError::kNone) {
    return error == HttpError::kTooManyHeaders ? HttpError::kTrailersTooLarge : error;
  }
  // RFC 9110 section 6.5.1: no field that frames, routes or authenticates.
  for (const Header& header : trailers.headers) {
    if (header.fate == HeaderFate::kHopByHop || header.fate == HeaderFate::kHost ||
        header.fate == HeaderFate::kLength || header.id == HeaderId::kAuthorization ||
        header.id == HeaderId::kContentType || header.id == HeaderId::kExpect) {
      return HttpError::kBadTrailer;
    }
  }
  return HttpError::kNone;
}

}  // namespace countersign::proxy::http
