// Canonical request values: one spelling for each path, host and query, so that what is judged,
// routed, logged and forwarded are the same bytes.
//
// Ambiguity is refused, never repaired. Every function writes into the caller's buffer, allocates
// nothing and is idempotent: a canonical value is its own canonical form.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "authz/engine/limits.h"
#include "authz/model/path_relaxations.h"
#include "authz/model/request.h"
#include "base/status.h"

namespace countersign::authz {

// CanonicalError says why a value was refused; a proxy answers 400. The audit log stores the
// number: never renumber.
enum class CanonicalError : uint8_t {
  kNone = 0,
  kEmpty = 1,
  kTooLong = 2,
  kNotAbsolute = 3,  // A path that does not begin with "/".
  kFragment = 4,     // '#' anywhere in a request target.
  kBadEscape = 5,    // '%' without two hex digits.
  kEncodedSlash = 6,
  kEncodedBackslash = 7,
  kEncodedNul = 8,
  kBackslash = 9,
  kSemicolon = 10,
  kHighByte = 11,     // A raw byte over 0x7F.
  kControlByte = 12,  // A control character or a space.
  kBadHost = 13,      // A byte or a shape that no host name has.
  kBadPort = 14,
  kTooManyParameters = 15,
  kBufferTooSmall = 16,  // The caller's buffer, not the peer, is at fault.
};
std::string_view CanonicalErrorName(CanonicalError error);  // "encoded_slash", ...

// ParsePathRelaxation reads "encoded-slash", "encoded-backslash", "encoded-nul", "backslash",
// "semicolon" or "high-byte".
StatusOr<PathRelaxation> ParsePathRelaxation(std::string_view name);

// CanonicalTarget is a request target in origin form, taken apart. Views point into the buffer
// (path) and into the input (query).
struct CanonicalTarget {
  CanonicalError error = CanonicalError::kNone;
  std::string_view path = {};
  std::string_view query = {};  // As received, without '?'.
  bool has_query = false;
  bool ok() const { return error == CanonicalError::kNone; }
};

// CanonicalizePath makes the canonical path of `target` in `buffer`, which must have room for
// target.size() bytes and may not overlap it. Escapes of unreserved characters are decoded, others
// are in upper case; then duplicate slashes go, then dot segments (RFC 3986 section 5.2.4). What a
// relaxation lets in stays as it is; it is not decoded.
CanonicalTarget CanonicalizePath(std::string_view target, PathRelaxations relaxations,
                                 std::span<char> buffer) noexcept;

// CanonicalHost is a Host or :authority value: lower case, port and one trailing dot apart. IPv6
// literals keep their brackets and have RFC 5952's form.
struct CanonicalHost {
  CanonicalError error = CanonicalError::kNone;
  std::string_view host = {};  // In the buffer.
  uint16_t port = 0;           // 0: none was given.
  bool ok() const { return error == CanonicalError::kNone; }
};
inline constexpr size_t kHostBufferBytes = 320;  // Enough for every host that is let in.
CanonicalHost CanonicalizeHost(std::string_view value, std::span<char> buffer) noexcept;

// CanonicalSni is a TLS server name as rules see it: DNS names have no case, and the dot at the end
// says nothing (RFC 6066 section 3). What is no name stays recognisable.
std::string CanonicalSni(std::string_view name);

// ParsedQuery holds the decoded parameters in order; names and values lie in `bytes`.
struct ParsedQuery {
  CanonicalError error = CanonicalError::kNone;
  std::span<const NameValue> parameters = {};
  bool ok() const { return error == CanonicalError::kNone; }
};

// ParseQuery splits at '&' and the first '=', decodes percent escapes and '+' (a space, as in
// forms). `bytes` must have room for query.size(); more parameters than `out` holds is an error.
ParsedQuery ParseQuery(std::string_view query, std::span<char> bytes,
                       std::span<NameValue> out) noexcept;

}  // namespace countersign::authz
