// CanonicalRequest is the one form of a request for judging, routing, logging, replay and proofs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace countersign::authz {

enum class RequestKind : uint8_t { kHttp, kTcp };

// IpAddress is IPv6; IPv4 addresses are IPv4-mapped.
struct IpAddress {
  std::array<uint8_t, 16> bytes = {};
  bool operator==(const IpAddress&) const = default;
};

struct NameValue {
  std::string_view name;
  std::string_view value;
};

// CanonicalRequest borrows every string from its owner, which keeps it for the life of the stream.
// An empty view means absent: no field of a request that was let in is both present and empty,
// except header, query and claim values, whose presence is their place in the list.
struct CanonicalRequest {
  RequestKind kind = RequestKind::kTcp;
  std::string_view callee;  // SPIFFE ID of the workload that is guarded.
  std::string_view caller;  // SPIFFE ID, or empty: anonymous.
  std::optional<IpAddress> peer_ip;
  uint16_t port = 0;
  std::string_view sni;
  // HTTP only from here on.
  std::string_view method;
  std::string_view path;               // Canonical (semantics 10), without the query.
  std::string_view host;               // Lower case, without port and trailing dot.
  std::span<const NameValue> headers;  // Names in lower case, in order of arrival, each line apart.
  std::span<const NameValue> query;    // Percent-decoded, in order.
  // Of the request's verified token: every value of every claim, by the claim's path. Empty: no
  // token was verified, because a verified one has claims.
  std::span<const NameValue> claims;
};

}  // namespace countersign::authz
