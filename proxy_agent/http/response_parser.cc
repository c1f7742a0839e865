#include "proxy_agent/http/field_lines.h"
#include "proxy_agent/http/fields.h"
#include "proxy_agent/http/head_parser.h"

namespace countersign::proxy::http {
namespace {

bool ParseStatusLine(std::string_view line, ResponseHead& head) {
  // HTTP-version SP 3DIGIT [SP reason]. The SP without a reason is often left out.
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) {
    return false;
  }
  if (ParseVersion(line.substr(0, 8), head.version) != HttpError::kNone) {
    return false;
  }
  for (const char c : line.substr(9, 3)) {
    if (c < '0' || c > '9') {
      return false;
    }
    head.status = head.status * 10 + (c - '0');
  }
  head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
  return head.status >= 100 && head.status <= 599 && CheckBytes(head.reason) == HttpError::kNone;
}

// FinishResponse decides the body as RFC 9112 section 6.3 does: no body after HEAD, 1xx, 204 and
// 304 whatever the fields say.
HttpError FinishResponse(const Framing& framing, const HttpLimits& limits,
                         const AnsweredRequest& request, ResponseHead& head) {
  if (const HttpError error = CheckFraming(framing, limits, head.version);
      error != HttpError::kNone) {
    return error;
  }
  head.keep_alive = head.version == HttpVersion::kHttp11 && !framing.connection.close;
  head.content_length = framing.length;
  if (head.status == 101) {
    if (request.upgrade.empty() || head.version == HttpVersion::kHttp10 ||
        !framing.connection.upgrade || !EqualsIgnoringCase(framing.upgrade, request.upgrade)) {
      return HttpError::kUnexpectedSwitch;
    }
    head.upgrade = framing.upgrade;
  }
  if (head.status < 200 || head.status == 204) {
    head.content_length = 0;  // A length that some servers send all the same goes no further.
    return HttpError::kNone;
  }
  if (request.is_head || head.status == 304) {
    // The length is informative: that of the body which GET would have had.
    head.body = framing.has_length ? BodyKind::kLength : BodyKind::kNone;
  } else if (framing.chunked) {
    head.body = BodyKind::kChunked;
  } else if (framing.has_length) {
    head.body = BodyKind::kLength;
  } else {
    head.body = BodyKind::kUntilClose;
    head.keep_alive = false;
  }
  return HttpError::kNone;
}

}  // namespace

HttpError ParseResponseHead(const HttpLimits& limits, const AnsweredRequest& request,
                            ResponseHead& head) {
  std::string_view rest = head.text;
  if (!ParseStatusLine(TakeLine(rest), head)) {
    return HttpError::kBadStatusLine;
  }
  if (const HttpError error = ParseFields(rest, limits.headers_max, UnderscoreNames::kAllow, head);
      error != HttpError::kNone) {
    return error;
  }
  Framing framing;
  for (const Header& header : head.headers) {
    if (const HttpError error = ReadFramingField(header, framing); error != HttpError::kNone) {
      return error;
    }
  }
  return FinishResponse(framing, limits, request, head);
}

}  // namespace countersign::proxy::http
