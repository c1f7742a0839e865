#include <algorithm>
#include <utility>

#include "proxy_agent/http/field_lines.h"
#include "proxy_agent/http/fields.h"
#include "proxy_agent/http/head_parser.h"

namespace countersign::proxy::http {
namespace {

// IsMethod is stricter than RFC 9110's token: methods are case-sensitive, policies compare them
// bytewise, and some servers take "get" for GET.
bool IsMethod(std::string_view method) {
  constexpr size_t kMethodBytesMax = 32;
  return !method.empty() && method.size() <= kMethodBytesMax && method.front() >= 'A' &&
         method.front() <= 'Z' && std::all_of(method.begin(), method.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
         });
}

// ParseTarget reads the four forms of RFC 9112 section 3.2 and leaves path and query. In absolute
// form `authority` is set, which Host must then equal.
HttpError ParseTarget(std::string_view target, RequestHead& head, std::string_view& authority) {
  for (const char c : target) {
    const auto u = static_cast<uint8_t>(c);
    if (u <= 0x20 || u >= 0x7f) {
      return HttpError::kBadTarget;
    }
    // A fragment is never sent (RFC 9110 section 7.1); whoever strips it reads another path.
    if (c == '#') {
      return HttpError::kFragmentInTarget;
    }
  }
  head.target = target;
  if (target.front() == '/') {
    return HttpError::kNone;
  }
  if (target == "*") {
    return head.method == "OPTIONS" ? HttpError::kNone : HttpError::kBadTarget;
  }
  const size_t scheme = target.find("://");
  if (scheme == std::string_view::npos ||
      (!EqualsIgnoringCase(target.substr(0, scheme), "http") &&
       !EqualsIgnoringCase(target.substr(0, scheme), "https"))) {
    return HttpError::kBadTarget;
  }
  const std::string_view rest = target.substr(scheme + 3);
  const size_t path = rest.find_first_of("/?");
  authority = rest.substr(0, path);
  if (!IsAuthority(authority)) {
    return HttpError::kBadTarget;
  }
  if (path == std::string_view::npos) {
    // RFC 9112 3.2.4: OPTIONS without a path becomes "*"; for others an empty path is "/".
    head.target = head.method == "OPTIONS" ? "*" : "/";
    return HttpError::kNone;
  }
  // "http://host?query" has no path; putting one in would be a repair.
  head.target = rest.substr(path);
  return head.target.front() == '/' ? HttpError::kNone : HttpError::kBadTarget;
}

HttpError ParseRequestLine(std::string_view line, const HttpLimits& limits, RequestHead& head,
                           std::string_view& authority) {
  const size_t first = line.find(' ');
  const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos || second == first + 1) {
    const HttpError error = CheckBytes(line);
    return error == HttpError::kNone ? HttpError::kBadRequestLine : error;
  }
  head.method = line.substr(0, first);
  if (!IsMethod(head.method)) {
    return HttpError::kBadMethod;
  }
  if (const HttpError error = ParseVersion(line.substr(second + 1), head.version);
      error != HttpError::kNone) {
    return error;
  }
  if (head.method == "CONNECT") {
    return HttpError::kConnectRefused;
  }
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (target.size() > limits.target_bytes_max) {
    return HttpError::kTargetTooLong;
  }
  return ParseTarget(target, head, authority);
}

// RequestFields is what the fields of a request say beyond framing.
struct RequestFields {
  Framing framing;
  bool has_host = false;
  bool has_authorization = false;
  bool has_content_type = false;
};

HttpError ReadOnce(bool& seen) {
  return std::exchange(seen, true) ? HttpError::kDuplicateHeader : HttpError::kNone;
}

HttpError ReadRequestField(const Header& header, RequestFields& fields, RequestHead& head) {
  switch (header.id) {
    case HeaderId::kHost:
      if (std::exchange(fields.has_host, true)) {
        return HttpError::kDuplicateHost;
      }
      head.authority = header.value;
      return IsAuthority(header.value) ? HttpError::kNone : HttpError::kBadHost;
    case HeaderId::kAuthorization:
      return ReadOnce(fields.has_authorization);
    case HeaderId::kContentType:
      return ReadOnce(fields.has_content_type);
    case HeaderId::kExpect:
      if (head.expects_continue || !EqualsIgnoringCase(header.value, "100-continue")) {
        return HttpError::kUnknownExpectation;
      }
      head.expects_continue = true;
      return HttpError::kNone;
    default:
      return ReadFramingField(header, fields.framing);
  }
}

HttpError FinishRequest(const RequestFields& fields, const HttpLimits& limits,
                        std::string_view target_authority, RequestHead& head) {
  // RFC 9112 section 3.2 wants Host in HTTP/1.1; for 1.0 we want it too, because policies judge it.
  if (!fields.has_host) {
    return HttpError::kMissingHost;
  }
  if (!target_authority.empty() && !EqualsIgnoringCase(target_authority, head.authority)) {
    return HttpError::kHostMismatch;
  }
  const Framing& framing = fields.framing;
  if (const HttpError error = CheckFraming(framing, limits, head.version);
      error != HttpError::kNone) {
    return error;
  }
  if (framing.chunked) {
    head.body = BodyKind::kChunked;
  } else if (framing.has_length) {
    head.body = BodyKind::kLength;
    head.content_length = framing.length;
  }
  head.keep_alive = head.version == HttpVersion::kHttp11 && !framing.connection.close;
  if (head.version == HttpVersion::kHttp10) {
    head.expects_continue = false;  // RFC 9110 section 10.1.1: ignored in HTTP/1.0.
  } else if (framing.connection.upgrade && EqualsIgnoringCase(framing.upgrade, "websocket")) {
    // Every other protocol is ignored, as RFC 9110 section 7.8 allows: a switch to h2c or TLS would
    // carry requests past the policy.
    head.upgrade = framing.upgrade;
    if (framing.chunked || framing.length > 0) {
      return HttpError::kUpgradeWithBody;
    }
  }
  return HttpError::kNone;
}

}  // namespace

HttpError CheckRequestLine(const HttpLimits& limits, std::string_view text) {
  RequestHead head;
  std::string_view target_authority;
  return ParseRequestLine(TakeLine(text), limits, head, target_authority);
}

HttpError ParseRequestHead(const HttpLimits& limits, UnderscoreNames underscores,
                           RequestHead& head) {
  std::string_view rest = head.text;
  std::string_view target_authority;
  if (const HttpError error = ParseRequestLine(TakeLine(rest), limits, head, target_authority);
      error != HttpError::kNone) {
    return error;
  }
  if (const HttpError error = ParseFields(rest, limits.headers_max, underscores, head);
      error != HttpError::kNone) {
    return error;
  }
  RequestFields fields;
  for (const Header& header : head.headers) {
    if (const HttpError error = ReadRequestField(header, fields, head); error != HttpError::kNone) {
      return error;
    }
  }
  return FinishRequest(fields, limits, target_authority, head);
}

}  // namespace countersign::proxy::http
