// The other end of a Unix connection, and who holds it.
//
// A descriptor can be inherited and passed on, so the process that connected need not be the one
// that reads. Where an identity hangs on the program, that matters: a process can connect, keep a
// copy of the connection in a child, and become the trusted program itself.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/status.h"

namespace countersign::agent {

// PeerInode asks the kernel (sock_diag) for the inode of the socket that `socket` is connected to.
StatusOr<uint64_t> PeerInode(int socket);

// CheckSoleHolder looks through the descriptors of every process it may look into. It fails if
// another process than `pid` holds the socket, or if `pid` does not.
Status CheckSoleHolder(uint64_t inode, pid_t pid);

}  // namespace countersign::agent
