#include "identity/server/source.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace countersign::server {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr size_t kNetworkBytes = 8;

bool IsMapped(const Endpoint& endpoint) {
  return std::equal(kMapped.begin(), kMapped.end(), endpoint.address.begin());
}

Endpoint Mapped(const in_addr& address) {
  Endpoint made;
  std::copy(kMapped.begin(), kMapped.end(), made.address.begin());
  std::memcpy(made.address.data() + kMapped.size(), &address, sizeof(address));
  return made;
}

std::optional<Endpoint> ParseAddress(std::string_view text, bool is_ipv6) {
  std::string host(text.substr(0, text.find('%')));  // Without the link's name.
  if (is_ipv6) {
    Endpoint made;
    return ::inet_pton(AF_INET6, host.c_str(), made.address.data()) == 1 ? std::optional(made)
                                                                         : std::nullopt;
  }
  in_addr address = {};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ? std::optional(Mapped(address))
                                                           : std::nullopt;
}

}  // namespace

std::optional<Endpoint> EndpointOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& native = reinterpret_cast<const sockaddr_in&>(address);
    Endpoint made = Mapped(native.sin_addr);
    made.port = ntohs(native.sin_port);
    return made;
  }
  if (address.ss_family == AF_INET6) {
    const auto& native = reinterpret_cast<const sockaddr_in6&>(address);
    Endpoint made;
    std::memcpy(made.address.data(), &native.sin6_addr, made.address.size());
    made.port = ntohs(native.sin6_port);
    return made;
  }
  return std::nullopt;
}

std::optional<Endpoint> ParsePeer(std::string_view peer) {
  size_t begin = peer.find(':');
  size_t end = peer.rfind(':');
  if (begin == std::string_view::npos || end <= begin) {
    return std::nullopt;
  }
  std::string_view family = peer.substr(0, begin);
  std::string_view host = peer.substr(begin + 1, end - begin - 1);
  std::string_view port = peer.substr(end + 1);
  if (family == "ipv6") {
    constexpr std::string_view kOpen = "%5B";  // Brackets, as a URI has them.
    constexpr std::string_view kClose = "%5D";
    if (host.starts_with(kOpen) && host.ends_with(kClose)) {
      host = host.substr(kOpen.size(), host.size() - kOpen.size() - kClose.size());
    } else if (host.starts_with('[') && host.ends_with(']')) {
      host = host.substr(1, host.size() - 2);
    }
  } else if (family != "ipv4") {
    return std::nullopt;
  }
  std::optional<Endpoint> made = ParseAddress(host, family == "ipv6");
  if (!made) {
    return std::nullopt;
  }
  auto [stopped, error] = std::from_chars(port.data(), port.data() + port.size(), made->port);
  return error == std::errc() && stopped == port.data() + port.size() ? made : std::nullopt;
}

std::string SourceOf(const Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = {};
  if (IsMapped(endpoint)) {
    ::inet_ntop(AF_INET, endpoint.address.data() + kMapped.size(), text, sizeof(text));
    return text;
  }
  std::array<uint8_t, 16> network = endpoint.address;
  std::fill(network.begin() + kNetworkBytes, network.end(), uint8_t{0});
  ::inet_ntop(AF_INET6, network.data(), text, sizeof(text));
  return std::string(text) + "/64";
}

}  // namespace countersign::server
