// The coordinates of a request that a policy may speak of, and the matchers over one coordinate.
//
// docs/policy.md says what each means. Everything here is plain data: the loader makes it, the
// evaluators read it, and nothing here performs I/O.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace countersign::authz {

// SourcePosition is a place in a file: line and column count from 1.
struct SourcePosition {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
};

// Field names one coordinate. kHeader, kQuery and kClaim are families: Condition::key tells which.
enum class Field : uint8_t {
  kId,           // The caller's SPIFFE ID, or absent.
  kTrustDomain,  // Of the caller's ID.
  kPeerIp,
  kPort,  // Local port the caller reached.
  kSni,
  kProtocol,  // "http" or "tcp".
  kMethod,
  kPath,
  kHost,
  kHeader,
  kQuery,
  kClaim,
};
inline constexpr size_t kFieldCount = 12;

// FieldName is the word in policy files and messages: "path", "headers".
std::string_view FieldName(Field field);

// IsHttpOnly says whether the field has no value on a TCP connection (semantics 8).
constexpr bool IsHttpOnly(Field field) {
  return field == Field::kMethod || field == Field::kPath || field == Field::kHost ||
         field == Field::kHeader || field == Field::kQuery || field == Field::kClaim;
}

// IsKeyed says whether the field is a family of coordinates, told apart by Condition::key.
constexpr bool IsKeyed(Field field) {
  return field == Field::kHeader || field == Field::kQuery || field == Field::kClaim;
}

// IpRange is a CIDR block; IPv4 is kept as IPv4-mapped IPv6, with 96 added to its prefix.
struct IpRange {
  std::array<uint8_t, 16> address = {};  // Bits beyond the prefix are zero.
  uint8_t prefix_bits = 0;               // 0 to 128.
  bool operator==(const IpRange&) const = default;
};

// Matcher is one predicate over one coordinate's value.
struct Matcher {
  enum class Kind : uint8_t {
    kExact,     // text, bytewise (hosts: both in lower case).
    kUnder,     // text itself, or text followed by '/' and more. "/" and "spiffe://td" cover all
                // below.
    kPrefix,    // Bytewise.
    kSuffix,    // Bytewise.
    kRe2,       // Whole value, RE2 in Latin-1, dot matches newline.
    kTemplate,  // Path template: "{x}" is one non-empty segment; a final "/**" is it and all below.
    kIp,        // range.
    kPort,      // port.
    kPresent,   // The value is there, whatever it is.
    kAbsent,    // The value is not there.
  };
  Kind kind = Kind::kExact;
  std::string text;
  IpRange range;
  uint16_t port = 0;
  bool operator==(const Matcher&) const = default;
};

// Condition is "this coordinate matches one of these".
struct Condition {
  Field field = Field::kId;
  std::string key;  // Header name in lower case, query key, claim path; empty for other fields.
  std::vector<Matcher> any_of;  // Never empty.
  bool many = false;            // Header and query only: the key may occur more than once.
  SourcePosition where;
};

// Entry is one item of `from` or `to`: all conditions hold, and no exception's conditions all hold.
struct Entry {
  std::vector<Condition> all_of;  // Never empty.
  std::vector<std::vector<Condition>> except;
  SourcePosition where;
};

}  // namespace countersign::authz
