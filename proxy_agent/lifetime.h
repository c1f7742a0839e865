// Lifetime: how long a connection may be used, by the certificates at both of its ends.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace countersign::proxy {

// Lifetime is computed once, when the handshake ends. Both ends know both certificates and come to
// the same times, so that the caller's proxy stops using a connection before the callee's drains
// it, and no request meets a closing door.
struct Lifetime {
  WallTime retire_at;  // The dialling side takes no new request on it.
  WallTime drain_at;   // The accepting side ends it when idle.
  WallTime cut_at;     // Whatever runs is cut: an identity has ended.

  static Lifetime Of(WallTime now, WallTime own_not_after, WallTime peer_not_after) {
    const WallTime end = std::min(own_not_after, peer_not_after);
    const std::chrono::nanoseconds left =
        std::max<std::chrono::nanoseconds>(end - now, std::chrono::nanoseconds(0));
    const std::chrono::nanoseconds margin =
        std::min<std::chrono::nanoseconds>(left / 10, std::chrono::seconds(10));
    return {.retire_at = end - 2 * margin, .drain_at = end - margin, .cut_at = end};
  }
};

}  // namespace countersign::proxy
