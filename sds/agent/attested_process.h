// The process at the other end of a connection, pinned when it connected.
//
// A pid alone says little: it can end and come back, and the process can become another program. A
// pidfd pins the process, the open executable pins the program; both are looked at again before
// each thing that is given away. This file reads facts; what they are worth is said by
// workload_attestor.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/fd.h"
#include "base/status.h"

namespace countersign::agent {

// ExeIdentity names the content of an executable file as far as the kernel can without reading it.
struct ExeIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  auto operator<=>(const ExeIdentity&) const = default;
};

// AttestedProcess is one pinned process. Safe to share between threads.
class AttestedProcess {
 public:
  struct Credentials {
    uid_t uid = 0;
    gid_t gid = 0;
    pid_t pid = 0;
  };
  // Pin takes the peer of a Unix connection whose SO_PEERCRED said `credentials`. An error means
  // that the peer is dead or cannot be pinned: refuse the connection.
  static StatusOr<std::shared_ptr<const AttestedProcess>> Pin(int socket,
                                                              const Credentials& credentials);

  uid_t uid() const { return credentials_.uid; }
  gid_t gid() const { return credentials_.gid; }
  pid_t pid() const { return credentials_.pid; }

  // exe_status says whether the executable could be opened; the next three need that it is OK.
  const Status& exe_status() const { return exe_status_; }
  const std::string& exe_path() const { return exe_path_; }
  const ExeIdentity& exe_identity() const { return exe_identity_; }
  int exe_fd() const { return exe_.get(); }

  // CheckUnchanged fails with NOT_FOUND if the process has ended and with PERMISSION_DENIED if it
  // has become another program since Pin.
  Status CheckUnchanged() const;
  bool HasEnded() const;
  // CheckHolder fails while another process shares the connection. Looked at until it was found
  // good once: from then on the connection is the pinned program's own to give away.
  Status CheckHolder() const;
  // pidfd becomes readable when the process ends.
  int pidfd() const { return pidfd_.get(); }
  // Environment reads the process's start environment (variables end with NUL).
  StatusOr<std::string> Environment(size_t bytes_max) const;

 private:
  explicit AttestedProcess(const Credentials& credentials) : credentials_(credentials) {}
  Status OpenExe();

  Credentials credentials_;
  Fd pidfd_;
  Fd proc_;  // /proc/PID: names within it never mean a later process of the same pid.
  Fd exe_;
  StatusOr<uint64_t> peer_inode_ = uint64_t{0};
  mutable std::mutex mutex_;
  mutable bool holder_checked_ = false;  // Guarded by mutex_.
  Status exe_status_;
  std::string exe_path_;
  ExeIdentity exe_identity_;
};

}  // namespace countersign::agent
