// LocalCaller is who a local connection comes from, by the kernel's word alone.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/status.h"

namespace countersign::identity {

// LocalCaller is made only from a connected socket. Immutable. The pid of a Unix peer is the one
// that connected; it may be gone by now, so whoever looks it up must pin it.
class LocalCaller {
 public:
  enum class How { kUnixPeerCredentials, kLoopbackSocket };

  // FromUnixSocket reads SO_PEERCRED of a connected Unix stream socket.
  static StatusOr<LocalCaller> FromUnixSocket(int fd);
  // FromLoopbackSocket takes an accepted TCP socket whose both ends are on loopback addresses and
  // asks the kernel for the owner of the peer's socket by its exact addresses and ports. An error
  // when the peer is not local, or closed already.
  static StatusOr<LocalCaller> FromLoopbackSocket(int accepted_fd);

  uid_t uid() const { return uid_; }
  // gid and pid are known of Unix peers only.
  std::optional<gid_t> gid() const { return gid_; }
  std::optional<pid_t> pid() const { return pid_; }
  How how() const { return how_; }

 private:
  LocalCaller(How how, uid_t uid) : how_(how), uid_(uid) {}
  How how_;
  uid_t uid_;
  std::optional<gid_t> gid_;
  std::optional<pid_t> pid_;
};

}  // namespace countersign::identity
