// Source is where a call to the node port comes from, as far as limits are concerned.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace countersign::server {

// Endpoint is a TCP peer's address, an IPv4 one mapped into IPv6, and its port.
struct Endpoint {
  std::array<uint8_t, 16> address = {};
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

// EndpointOf is nothing for an address that is neither IPv4 nor IPv6.
std::optional<Endpoint> EndpointOf(const sockaddr_storage& address);
// ParsePeer reads what gRPC calls a peer: "ipv4:10.0.0.1:4711", "ipv6:%5B2001:db8::1%5D:4711".
std::optional<Endpoint> ParsePeer(std::string_view peer);

// SourceOf is the part of an address that one host cannot change at will: "10.0.0.1", or the IPv6
// network of 64 bits, in which one host may take any address: "2001:db8:1:2::/64".
std::string SourceOf(const Endpoint& endpoint);

}  // namespace countersign::server
