#include "audit/replay/recorded_request.h"

#include <algorithm>

#include "audit/query/record_json.h"
#include "authz/prove/witness.h"

namespace countersign::audit {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsAlphanumeric(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// 8-4-4-4-12 hexadecimal digits (RFC 9562 section 4).
bool IsUuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  return std::equal(text.begin(), text.end(), kForm.begin(), kForm.end(),
                    [](char c, char form) { return form == 'x' ? IsHex(c) : c == form; });
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

bool IsOfPolicy(authz::Reason reason) {
  using authz::Reason;
  switch (reason) {
    case Reason::kNoPolicy:
    case Reason::kNoRuleMatched:
    case Reason::kDenyRule:
    case Reason::kAllowRule:
    case Reason::kUnmatchedTrial:
    case Reason::kAmbiguousField:
    case Reason::kEngineFault:
      return true;
    case Reason::kProbe:
    case Reason::kLocalCaller:
    case Reason::kLocalCallerRefused:
    case Reason::kNotReady:
      break;
  }
  return false;
}

authz::CanonicalRequest RequestOf(const DecisionRecord& record) {
  authz::CanonicalRequest request;
  request.kind = record.kind;
  request.callee = record.callee;
  request.caller = record.caller;
  request.peer_ip = record.peer_ip;
  request.port = record.port;
  request.sni = record.sni;
  request.method = record.method;
  request.path = record.path;
  request.host = record.host;
  request.headers = record.headers;
  return request;
}

std::string RequestText(const DecisionRecord& record, size_t bytes_max) {
  authz::PolicyTestCase::Request request;
  request.http = record.kind == authz::RequestKind::kHttp;
  request.caller = record.caller;
  request.workload = record.callee;
  request.peer_ip = FormatPeerIp(record.peer_ip);
  request.port = record.port;
  request.sni = record.sni;
  request.method = record.method;
  request.host = record.host;
  request.path = record.path;
  size_t bytes = record.path.size() + record.host.size() + record.sni.size();
  bool printable = IsPrintable(record.path) && IsPrintable(record.host) && IsPrintable(record.sni);
  for (const authz::NameValue& header : record.headers) {
    request.headers.emplace_back(header.name, header.value);
    bytes += header.name.size() + header.value.size();
    printable = printable && IsPrintable(header.value);
  }
  if (!printable || bytes > bytes_max) {
    return "";
  }
  std::string text = authz::prove::RequestText(request);
  return text.size() <= bytes_max ? text : "";
}

std::string PathShape(std::string_view path, size_t bytes_max) {
  std::string shape;
  for (size_t at = 0; at < path.size() && shape.size() < bytes_max;) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view segment = path.substr(at, end - at);
    shape += LooksLikeIdentifier(segment) ? std::string_view("{id}") : segment;
    shape += end < path.size() ? "/" : "";
    at = end + 1;
  }
  if (shape.size() > bytes_max) {
    shape.resize(bytes_max);
  }
  return shape;
}

bool LooksLikeIdentifier(std::string_view segment) {
  auto digits = static_cast<size_t>(std::ranges::count_if(segment, IsDigit));
  if (digits == 0) {
    return IsUuid(segment);
  }
  return digits == segment.size() || IsUuid(segment) ||
         (segment.size() >= 8 && std::ranges::all_of(segment, IsHex)) ||
         (segment.size() >= 20 && digits >= 3 && std::ranges::all_of(segment, IsAlphanumeric));
}

}  // namespace countersign::audit
