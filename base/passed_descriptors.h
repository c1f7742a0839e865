// Whether a peer may pass descriptors over a Unix socket (SCM_RIGHTS).
//
// Closing one can block whoever holds it last, for as long as its sender likes: a TCP socket that
// lingers, a file of a FUSE mount. So only a socket that needs descriptors takes any.
#pragma once

#include "base/status.h"

namespace countersign {

// RefuseDescriptors lets nobody pass any over the socket, or over one that it accepts from now on;
// the sender gets EPERM. ListenUnix has done it. kUnimplemented where the kernel cannot (before
// Linux 6.16), which is said in the log once.
Status RefuseDescriptors(int socket);

// TakeDescriptors undoes it, for a listener whose peers have descriptors to hand over.
Status TakeDescriptors(int socket);

}  // namespace countersign
