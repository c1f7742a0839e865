#include "identity/spiffe_id.h"

#include <algorithm>

namespace countersign::identity {
namespace {

constexpr std::string_view kScheme = "spiffe://";

bool IsLowerAlphaNumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsMark(char c) { return c == '.' || c == '-' || c == '_'; }

// SPIFFE-ID 2.1: "the trust domain name ... MUST only contain" lower-case letters, digits, '.', '-'
// and '_'. Names that look like addresses get no special treatment.
bool IsTrustDomainChar(char c) { return IsLowerAlphaNumeric(c) || IsMark(c); }
// SPIFFE-ID 2.2: path segments hold letters, digits, '.', '-' and '_'.
bool IsPathChar(char c) { return IsTrustDomainChar(c) || (c >= 'A' && c <= 'Z'); }

Status CheckTrustDomain(std::string_view name) {
  if (name.empty()) {
    return InvalidArgument("trust domain is empty");
  }
  if (name.size() > SpiffeIdLimits::kTrustDomainBytesMax) {
    return InvalidArgument("trust domain is longer than ", SpiffeIdLimits::kTrustDomainBytesMax,
                           " bytes");
  }
  if (!std::all_of(name.begin(), name.end(), IsTrustDomainChar)) {
    return InvalidArgument("trust domain ", Quoted(name),
                           " may hold only a-z, 0-9, '.', '-' and '_'");
  }
  return absl::OkStatus();
}

// CheckPath takes a path that begins with "/".
Status CheckPath(std::string_view path) {
  while (!path.empty()) {
    path.remove_prefix(1);  // The slash before the segment.
    std::string_view segment = path.substr(0, path.find('/'));
    if (segment.empty()) {
      return InvalidArgument("path has an empty segment or ends with '/'");
    }
    if (segment == "." || segment == "..") {
      return InvalidArgument("path has a dot segment");
    }
    if (!std::all_of(segment.begin(), segment.end(), IsPathChar)) {
      return InvalidArgument("path segment ", Quoted(segment),
                             " may hold only letters, digits, '.', '-' and '_'");
    }
    path.remove_prefix(segment.size());
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<TrustDomain> TrustDomain::Parse(std::string_view name) {
  RETURN_IF_ERROR(CheckTrustDomain(name));
  return TrustDomain(std::string(name));
}

StatusOr<SpiffeId> SpiffeId::Parse(std::string_view text) {
  if (text.size() > SpiffeIdLimits::kIdBytesMax) {
    return InvalidArgument("SPIFFE ID is longer than ", SpiffeIdLimits::kIdBytesMax, " bytes");
  }
  if (!text.starts_with(kScheme)) {
    return InvalidArgument("SPIFFE ID ", Quoted(text), " must begin with spiffe://");
  }
  std::string_view rest = text.substr(kScheme.size());
  std::string_view domain = rest.substr(0, rest.find('/'));
  Status status = CheckTrustDomain(domain);
  if (status.ok()) {
    status = CheckPath(rest.substr(domain.size()));
  }
  if (!status.ok()) {
    return Annotate(status, Concat("SPIFFE ID ", Quoted(text)));
  }
  return SpiffeId(std::string(text), kScheme.size() + domain.size());
}

StatusOr<SpiffeId> SpiffeId::Make(const TrustDomain& domain, std::string_view path) {
  // Without its slash a path would lengthen the name of the domain.
  if (!path.empty() && !path.starts_with('/')) {
    return InvalidArgument("path ", Quoted(path), " must begin with '/'");
  }
  return Parse(Concat(kScheme, domain.name(), path));
}

}  // namespace countersign::identity
