// Who listens on a TCP port of this host: what /proc shows, for messages that name the program that
// is in the way. It binds nothing and connects to nothing.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace countersign::cli::host {

struct PortLimits {
  static constexpr size_t kTableBytesMax = 8 << 20;  // Of /proc/net/tcp: about 50,000 sockets.
};

// PortHolder is the listener found. Without the right to look at other users' processes the pid is
// 0 and the program empty.
struct PortHolder {
  uid_t uid = 0;
  pid_t pid = 0;
  std::string program;
  bool every_address = false;  // It listens on a wildcard.
  // The process that started it, if that is a `countersign dev up`; else 0.
  pid_t dev_up = 0;
};

// HolderOf finds who listens on "127.0.0.1:8080", or on a wildcard address that covers it; a
// wildcard that is asked for ("0.0.0.0:80") meets every listener of the port. An IPv6 wildcard is
// taken to cover IPv4, as it does unless a program asks otherwise. Nothing if the port is free, or
// if the text is no IP address with a port.
std::optional<PortHolder> HolderOf(std::string_view address);

// Describe says it in words: "nginx (pid 812, uid 33)", "a process of uid 33".
std::string Describe(const PortHolder& holder);

// IsLoopback says whether "127.0.0.1:8080" or "[::1]:8080" is reached from this host alone.
bool IsLoopback(std::string_view address);

}  // namespace countersign::cli::host
