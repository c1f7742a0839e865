#include "pdp/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace countersign::pdp {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr int kBacklog = 128;

// What bind() takes: the address of `text`, which Parse has read.
struct SocketName {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

bool ReadIp(std::string_view ip, uint16_t port, SocketName& name) {
  if (ip.starts_with('[') && ip.ends_with(']')) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&name.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    name.size = sizeof(*v6);
    return inet_pton(AF_INET6, std::string(ip.substr(1, ip.size() - 2)).c_str(), &v6->sin6_addr) ==
           1;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&name.storage);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  name.size = sizeof(*v4);
  return inet_pton(AF_INET, std::string(ip).c_str(), &v4->sin_addr) == 1;
}

bool IsLoopback(const SocketName& name) {
  if (name.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&name.storage);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&name.storage);
  return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

}  // namespace

StatusOr<ListenAddress> ListenAddress::Parse(std::string_view text) {
  ListenAddress address;
  address.text_ = text;
  if (text.starts_with(kUnixPrefix)) {
    address.path_ = text.substr(kUnixPrefix.size());
    if (!address.path_.starts_with('/') || address.path_.size() >= sizeof(sockaddr_un::sun_path) ||
        address.path_.find('\0') != std::string::npos) {
      return InvalidArgument("listen address ", Quoted(text),
                             ": a Unix socket is unix: and an absolute path of at most ",
                             sizeof(sockaddr_un::sun_path) - 1, " bytes");
    }
    return address;
  }
  const size_t colon = text.rfind(':');
  const std::string_view port = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port_);
  SocketName name;
  if (port.empty() || error != std::errc() || end != port.data() + port.size() ||
      !ReadIp(text.substr(0, colon), address.port_, name)) {
    return InvalidArgument(
        "listen address ", Quoted(text),
        " is neither unix:PATH nor IP:PORT, such as 127.0.0.1:9000 or [::1]:9000");
  }
  address.ip_ = text.substr(0, colon);
  address.loopback_ = IsLoopback(name);
  return address;
}

ListenAddress ListenAddress::WithPort(uint16_t port) const {
  ListenAddress bound = *this;
  bound.port_ = port;
  bound.text_ = Concat(ip_, ":", port);
  return bound;
}

StatusOr<BoundSocket> BoundSocket::Bind(const ListenAddress& address, unsigned unix_mode) {
  if (address.is_unix()) {
    ASSIGN_OR_RETURN(Fd listening, ListenUnix(address.path(), unix_mode));
    RETURN_IF_ERROR(SetNonBlocking(listening.get()));
    return BoundSocket{std::move(listening), address};
  }
  SocketName name;
  CHECK(ReadIp(address.ip_, address.port_, name));
  Fd listening(::socket(name.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (!listening.valid() ||
      ::setsockopt(listening.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      ::setsockopt(listening.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
      ::bind(listening.get(), reinterpret_cast<sockaddr*>(&name.storage), name.size) != 0 ||
      ::listen(listening.get(), kBacklog) != 0 ||
      ::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return ErrnoError(errno, Concat("listen on ", address.text()));
  }
  const uint16_t port =
      ntohs(bound.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&bound)->sin_port
                                       : reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port);
  return BoundSocket{std::move(listening), address.WithPort(port)};
}

}  // namespace countersign::pdp
