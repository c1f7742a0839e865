// WorkerOf: which of a proxy's workers holds a connection, as the kernel tells it.
#pragma once

#include <sys/types.h>

#include <optional>

#include "tests/support/test_stream.h"

namespace countersign {

// WorkerOf is the epoll descriptor, in the process `proxy` of this user, that watches the other end
// of `stream`, a TCP connection over IPv4: one number a worker. Nothing if none does.
std::optional<int> WorkerOf(pid_t proxy, const TestStream& stream);

}  // namespace countersign
