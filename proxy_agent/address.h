// Address: where the proxy listens or dials, as configuration writes it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string>
#include <string_view>

#include "authz/model/request.h"
#include "base/fd.h"
#include "base/status.h"

namespace countersign::proxy {

// Address is an IP address with its port, or the path of a Unix socket. Immutable.
class Address {
 public:
  // Parse reads "10.0.0.7:8443", "[::1]:8443" or "unix:/run/shop/orders.sock". No names: those are
  // resolved elsewhere.
  static StatusOr<Address> Parse(std::string_view text);
  static Address FromSockaddr(const sockaddr_storage& storage, socklen_t size);

  const std::string& text() const { return text_; }
  bool is_unix() const { return storage_.ss_family == AF_UNIX; }
  // unix_path is empty for an IP address.
  std::string_view unix_path() const;
  bool is_loopback() const;
  uint16_t port() const;  // 0 for a Unix socket.
  std::optional<authz::IpAddress> ip() const;
  const sockaddr* native() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t native_size() const { return size_; }
  int family() const { return storage_.ss_family; }

  bool operator==(const Address& other) const { return text_ == other.text_; }

 private:
  Address() = default;
  std::string text_;
  sockaddr_storage storage_ = {};
  socklen_t size_ = 0;
};

// Dial begins a connection without waiting for it; writable or failed tells later.
StatusOr<Fd> Dial(const Address& address);

}  // namespace countersign::proxy
