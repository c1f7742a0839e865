#include "pdp/check_request.h"

#include <algorithm>

#include "authz/model/ip_text.h"
#include "identity/spiffe_id.h"

namespace countersign::pdp {
namespace {

// RFC 9110 section 5.6.2.
bool IsTokenByte(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos;
}
bool IsToken(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, IsTokenByte);
}
bool HasUpperCase(std::string_view text) {
  return std::ranges::any_of(text, [](char byte) { return byte >= 'A' && byte <= 'Z'; });
}

// Whether a joined value may stand for several lines or for other bytes. Cookies are joined by
// "; " (RFC 9113 section 8.2.3).
bool MayHaveBeenJoined(std::string_view name, std::string_view value) {
  return value.find_first_of(name == "cookie" ? ";,!" : ",!") != std::string_view::npos;
}

}  // namespace

std::string_view FaultName(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "none";
    case Fault::kBadTarget:
      return "bad_target";
    case Fault::kNotCanonical:
      return "not_canonical";
    case Fault::kBadHost:
      return "bad_host";
    case Fault::kBadMethod:
      return "bad_method";
    case Fault::kBadHeaderName:
      return "bad_header_name";
    case Fault::kAmbiguousHeader:
      return "ambiguous_header";
    case Fault::kBadCaller:
      return "bad_caller";
    case Fault::kBadCallee:
      return "bad_callee";
    case Fault::kBadAddress:
      return "bad_address";
    case Fault::kMalformed:
      return "malformed";
    case Fault::kOverLimit:
      return "over_limit";
    case Fault::kNotReady:
      return "not_ready";
    case Fault::kInternal:
      break;
  }
  return "internal";
}

bool IsBadRequest(Fault fault) {
  return fault >= Fault::kBadTarget && fault <= Fault::kAmbiguousHeader;
}

CheckRequest::CheckRequest(const RawRequest& raw, const authz::CompiledPolicy& policy,
                           const PdpLimits& limits) {
  canonical_.kind = raw.kind;
  if (TakeConnection(raw) && raw.kind == authz::RequestKind::kHttp && TakeTarget(raw)) {
    TakeHeaders(raw, policy, limits);
  }
}

bool CheckRequest::Refuse(Fault fault, std::string detail) {
  fault_ = fault;
  detail_ = std::move(detail);
  return false;
}

bool CheckRequest::TakeConnection(const RawRequest& raw) {
  if (!identity::SpiffeId::Parse(raw.callee).ok()) {
    return Refuse(Fault::kBadCallee, Quoted(raw.callee));
  }
  if (!raw.caller.empty() && !identity::SpiffeId::Parse(raw.caller).ok()) {
    return Refuse(Fault::kBadCaller, Quoted(raw.caller));
  }
  if (raw.port > 0xffff) {
    return Refuse(Fault::kBadAddress, Concat("port ", raw.port));
  }
  if (!raw.peer_ip.empty()) {
    StatusOr<authz::IpAddress> address = authz::ParseIpAddress(raw.peer_ip);
    if (!address.ok()) {
      return Refuse(Fault::kBadAddress, Quoted(raw.peer_ip));
    }
    canonical_.peer_ip = *address;
  }
  canonical_.callee = raw.callee;
  canonical_.caller = raw.caller;
  canonical_.port = static_cast<uint16_t>(raw.port);
  sni_ = authz::CanonicalSni(raw.sni);
  canonical_.sni = sni_;
  return true;
}

bool CheckRequest::TakeTarget(const RawRequest& raw) {
  if (!IsToken(raw.method)) {
    return Refuse(Fault::kBadMethod, Quoted(raw.method));
  }
  canonical_.method = raw.method;
  path_.resize(raw.target.size());
  const authz::CanonicalTarget target =
      authz::CanonicalizePath(raw.target, authz::PathRelaxations(), path_);
  if (!target.ok()) {
    return Refuse(Fault::kBadTarget, std::string(authz::CanonicalErrorName(target.error)));
  }
  // Whoever asks forwards the path as it came, so the path must be its own canonical form.
  if (target.path != raw.target.substr(0, raw.target.find('?'))) {
    return Refuse(Fault::kNotCanonical, Concat("its canonical form is ", Quoted(target.path)));
  }
  canonical_.path = target.path;
  if (target.has_query) {
    query_bytes_.resize(target.query.size());
    query_.resize(authz::CanonicalLimits::kQueryParametersMax);
    const authz::ParsedQuery parsed = authz::ParseQuery(target.query, query_bytes_, query_);
    if (!parsed.ok()) {
      return Refuse(Fault::kBadTarget, std::string(authz::CanonicalErrorName(parsed.error)));
    }
    query_.resize(parsed.parameters.size());
    canonical_.query = query_;
  }
  if (!raw.host.empty()) {
    host_.resize(authz::kHostBufferBytes);
    const authz::CanonicalHost host = authz::CanonicalizeHost(raw.host, host_);
    if (!host.ok()) {
      return Refuse(Fault::kBadHost, std::string(authz::CanonicalErrorName(host.error)));
    }
    canonical_.host = host.host;
  }
  return true;
}

bool CheckRequest::TakeHeaders(const RawRequest& raw, const authz::CompiledPolicy& policy,
                               const PdpLimits& limits) {
  if (raw.headers.size() > limits.headers_max) {
    return Refuse(Fault::kOverLimit, Concat(raw.headers.size(), " header lines, over the limit of ",
                                            limits.headers_max));
  }
  for (const authz::NameValue& header : raw.headers) {
    if (header.name.starts_with(':')) {
      continue;  // Envoy's pseudo-headers; method, path and host have come by themselves.
    }
    if (!IsToken(header.name) || HasUpperCase(header.name)) {
      return Refuse(Fault::kBadHeaderName, Quoted(header.name));
    }
    if (!policy.NamesHeader(header.name)) {
      continue;
    }
    if (raw.header_form == HeaderForm::kJoined && MayHaveBeenJoined(header.name, header.value)) {
      return Refuse(Fault::kAmbiguousHeader,
                    Concat(Quoted(header.name), " may be several lines; set encode_raw_headers"));
    }
    headers_.push_back(header);
  }
  canonical_.headers = headers_;
  return true;
}

}  // namespace countersign::pdp
