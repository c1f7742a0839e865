#include "base/wakeup.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace countersign {

StatusOr<Wakeup> Wakeup::Create() {
  Fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) {
    return ErrnoError(errno, "make an eventfd");
  }
  return Wakeup(std::move(fd));
}

void Wakeup::Signal() {
  if (pending_.exchange(true, std::memory_order_acq_rel)) {
    return;
  }
  const uint64_t one = 1;
  // Cannot fill up: one write a Clear.
  [[maybe_unused]] const ssize_t written = write(fd_.get(), &one, sizeof(one));
}

void Wakeup::Clear() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(fd_.get(), &count, sizeof(count));
  // An exchange, not a store: what was written before a Signal that found the flag set is seen.
  pending_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace countersign
