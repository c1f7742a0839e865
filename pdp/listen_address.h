// Where the decision point listens: a Unix socket or an IP address with its port.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/status.h"

namespace countersign::pdp {

// ListenAddress is parsed and valid. Immutable.
class ListenAddress {
 public:
  // Parse reads "unix:/run/pdp/authz.sock", "127.0.0.1:9000" or "[::1]:9000"; no names. Port 0: the
  // kernel chooses one.
  static StatusOr<ListenAddress> Parse(std::string_view text);

  const std::string& text() const { return text_; }
  bool is_unix() const { return !path_.empty(); }
  const std::string& path() const { return path_; }  // Of a Unix socket.
  uint16_t port() const { return port_; }
  // is_local: only this machine reaches it.
  bool is_local() const { return is_unix() || loopback_; }
  // WithPort is the same IP address with the port that the kernel chose.
  ListenAddress WithPort(uint16_t port) const;

 private:
  ListenAddress() = default;
  friend struct BoundSocket;
  std::string text_;
  std::string path_;
  std::string ip_;  // With its brackets, if it has some.
  uint16_t port_ = 0;
  bool loopback_ = false;
};

// BoundSocket listens, non-blocking; `address` has the port that was bound.
struct BoundSocket {
  Fd socket;
  ListenAddress address;
  // Bind refuses a port in use and a Unix socket that somebody answers on; `unix_mode` is of the
  // socket's file.
  static StatusOr<BoundSocket> Bind(const ListenAddress& address, unsigned unix_mode);
};

}  // namespace countersign::pdp
