// Wakeup rouses a thread that waits in epoll or poll. This is one of the few files that may use
// atomics.
#pragma once

#include <atomic>

#include "base/fd.h"
#include "base/status.h"

namespace countersign {

// Wakeup is an eventfd with a flag that makes repeated calls cheap. Signal is safe for any thread;
// Clear belongs to the thread that waits.
class Wakeup {
 public:
  static StatusOr<Wakeup> Create();
  Wakeup(Wakeup&& other) noexcept
      : fd_(std::move(other.fd_)), pending_(other.pending_.load(std::memory_order_relaxed)) {}

  int fd() const { return fd_.get(); }
  void Signal();
  // Clear is called before looking at what was signalled, so that no signal is lost.
  void Clear();

 private:
  explicit Wakeup(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  std::atomic<bool> pending_ = false;
};

}  // namespace countersign
