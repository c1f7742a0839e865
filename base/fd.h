// Fd owns a file descriptor; the functions below are the system calls that several folders need.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace countersign {

// Fd closes its descriptor when it goes. Move-only; -1 means none.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset(std::exchange(other.fd_, -1));
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

// ListenUnix binds and listens on a Unix stream socket. A stale socket file (nobody answers) is
// replaced; one that answers, and a file that is no socket, is an error that says so. `mode` is set
// before the name appears.
StatusOr<Fd> ListenUnix(const std::string& path, unsigned mode);
// ConnectUnix connects a blocking stream socket, close-on-exec.
StatusOr<Fd> ConnectUnix(const std::string& path);

// SendFds sends `payload` (1 to 64 KiB) with descriptors over a Unix socket; ReceiveFds takes one
// such message (at most 16 descriptors, close-on-exec). An empty payload from ReceiveFds is the
// end.
Status SendFds(int socket, std::string_view payload, std::span<const int> fds);
struct FdMessage {
  std::string payload;
  std::vector<Fd> fds;
};
StatusOr<FdMessage> ReceiveFds(int socket);

// SetNonBlocking and IgnoreSigpipe are called by every program at start.
Status SetNonBlocking(int fd);
void IgnoreSigpipe();

}  // namespace countersign
