#include "proxy_agent/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace countersign::proxy {
namespace {

constexpr std::string_view kUnixScheme = "unix:";

const sockaddr_in& AsV4(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr_in&>(storage);
}
const sockaddr_in6& AsV6(const sockaddr_storage& storage) {
  return reinterpret_cast<const sockaddr_in6&>(storage);
}

std::string TextOf(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &AsV4(storage).sin_addr, text, sizeof(text));
    return Concat(std::string_view(text), ":", ntohs(AsV4(storage).sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &AsV6(storage).sin6_addr, text, sizeof(text));
    return Concat("[", std::string_view(text), "]:", ntohs(AsV6(storage).sin6_port));
  }
  return "unix:";
}

StatusOr<uint16_t> ParsePort(std::string_view digits, std::string_view whole) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.size() > 5) {
    return InvalidArgument("address ", Quoted(whole), " has no valid port");
  }
  return port;
}

}  // namespace

StatusOr<Address> Address::Parse(std::string_view text) {
  Address made;
  made.text_ = std::string(text);
  if (text.substr(0, kUnixScheme.size()) == kUnixScheme) {
    auto& native = reinterpret_cast<sockaddr_un&>(made.storage_);
    const std::string_view path = text.substr(kUnixScheme.size());
    if (path.empty() || path.front() != '/' || path.size() >= sizeof(native.sun_path) ||
        path.find('\0') != std::string_view::npos) {
      return InvalidArgument("unix socket path ", Quoted(path), " is not absolute, or longer than ",
                             sizeof(native.sun_path) - 1, " bytes");
    }
    native.sun_family = AF_UNIX;
    std::memcpy(native.sun_path, path.data(), path.size());
    made.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return made;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return InvalidArgument("address ", Quoted(text), " is neither IP:PORT nor unix:PATH");
  }
  ASSIGN_OR_RETURN(const uint16_t port, ParsePort(text.substr(colon + 1), text));
  std::string host(text.substr(0, colon));
  auto& v4 = reinterpret_cast<sockaddr_in&>(made.storage_);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(made.storage_);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']' &&
      inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    made.size_ = sizeof(sockaddr_in6);
    return made;
  }
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    made.size_ = sizeof(sockaddr_in);
    return made;
  }
  return InvalidArgument("address ", Quoted(text), " is neither IP:PORT nor unix:PATH");
}

Address Address::FromSockaddr(const sockaddr_storage& storage, socklen_t size) {
  Address made;
  made.storage_ = storage;
  made.size_ = size;
  made.text_ = TextOf(storage);
  return made;
}

std::string_view Address::unix_path() const {
  return is_unix() ? std::string_view(text_).substr(kUnixScheme.size()) : std::string_view();
}

bool Address::is_loopback() const {
  if (storage_.ss_family == AF_INET) {
    return (ntohl(AsV4(storage_).sin_addr.s_addr) >> 24) == 127;
  }
  return storage_.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&AsV6(storage_).sin6_addr);
}

uint16_t Address::port() const {
  if (storage_.ss_family == AF_INET) {
    return ntohs(AsV4(storage_).sin_port);
  }
  return storage_.ss_family == AF_INET6 ? ntohs(AsV6(storage_).sin6_port) : uint16_t{0};
}

std::optional<authz::IpAddress> Address::ip() const {
  authz::IpAddress out;
  if (storage_.ss_family == AF_INET) {
    out.bytes[10] = out.bytes[11] = 0xff;
    std::memcpy(out.bytes.data() + 12, &AsV4(storage_).sin_addr, 4);
    return out;
  }
  if (storage_.ss_family == AF_INET6) {
    std::memcpy(out.bytes.data(), &AsV6(storage_).sin6_addr, 16);
    return out;
  }
  return std::nullopt;
}

StatusOr<Fd> Dial(const Address& address) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "make a socket");
  }
  if (!address.is_unix()) {
    const int one = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  }
  if (connect(fd.get(), address.native(), address.native_size()) != 0 && errno != EINPROGRESS) {
    return ErrnoError(errno, Concat("connect to ", address.text()));
  }
  return fd;
}

}  // namespace countersign::proxy
