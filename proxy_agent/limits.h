// ProxyLimits: every bound of the proxy's data path in one place, each with its reason; and the
// names under which reaching one is counted.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy_agent/http/head.h"

namespace countersign::proxy {

// ProxyLimits is a value that each worker carries; InstanceOptions brings it.
struct ProxyLimits {
  // A peer that has not ended its handshake by then is broken or holds the slot on purpose.
  std::chrono::milliseconds handshake_deadline{5'000};
  // From the first byte of a head to its end; slower is a slow-read attack.
  std::chrono::milliseconds head_deadline{10'000};
  // Between two requests, and for a body or a tunnel that stands still.
  std::chrono::milliseconds idle_deadline{300'000};
  // An endpoint on the same network answers a SYN in less, or is down.
  std::chrono::milliseconds connect_deadline{3'000};
  // A request without a Route, however its bodies dribble: the longest that a Route may ask for, so
  // that a callee's proxy never ends what the caller's lets run.
  std::chrono::milliseconds request_deadline{3'600'000};
  // A connection that ends gives its peer this long to take the last bytes.
  std::chrono::milliseconds linger_deadline{2'000};
  // Idle upstream connections kept longer would meet the peer's own idle deadline.
  std::chrono::milliseconds pool_idle_deadline{60'000};

  // Per worker, of callers and upstreams alike; 16 KiB a TLS connection makes 256 MiB at the bound.
  // Upstreams may fill twice as many, so that each caller finds its own.
  size_t connections_max = 16'384;
  // Per worker: one SPIFFE ID, one local user, or, without an identity, one IPv4 address or IPv6
  // network of 64 bits. Three quarters are left for the others, whoever it is and however many
  // instances it runs.
  size_t connections_per_peer_max = 4'096;
  // One host needs no more at once, and a flood from one address leaves room for the others.
  size_t half_open_per_source_max = 64;
  // Per worker: a storm of reconnects must not starve the requests on open connections.
  size_t half_open_max = 1'024;
  // Unsent bytes of one connection above which its source is not read any more.
  size_t out_bytes_max = 256 * 1024;
  // One connection's turn in an event batch; then the others come.
  size_t turn_bytes_max = 512 * 1024;
  // Accepted connections of one listener in an event batch.
  size_t accepts_per_turn_max = 64;
  // Upstream connections of one worker that are being made, each with somebody who waits for it:
  // when an upstream answers no SYN, callers are refused at once instead of queueing up.
  size_t waiting_max = 4'096;
  // A request body that may be sent again when a try fails is kept up to here; larger: no retry.
  size_t replay_bytes_max = 64 * 1024;
  // Idle connections kept for one upstream.
  size_t pool_idle_max = 256;
  // TLS 1.3 lets a peer ask for new keys for ever; a real peer does so once in 2^24 records.
  uint32_t key_updates_max = 32;
  // Live exchanges and tunnels judged again in one event batch after a change of policy: about a
  // millisecond, so that 100,000 of them take well under a second without stopping traffic.
  size_t sweep_per_turn_max = 1'024;
  // Lines of one worker's log about single requests, per caller and minute, so that nobody fills
  // the disk by being refused; and of all callers together.
  size_t log_lines_per_peer_max = 30;
  size_t log_lines_max = 300;

  // What one message may cost before it is judged.
  http::HttpLimits http = {};
};

// Limit names a bound for the metric `limit_reached`. What HttpLimits bounds is counted as
// `malformed`, by its error.
enum class Limit : uint8_t {
  kHandshakeDeadline,
  kHeadDeadline,
  kIdleDeadline,
  kConnectDeadline,
  kRequestDeadline,
  kLingerDeadline,
  kPoolIdleDeadline,
  kConnections,
  kConnectionsPerPeer,
  kHalfOpenPerSource,
  kHalfOpen,
  kOutBytes,
  kTurnBytes,
  kAcceptsPerTurn,
  kWaiting,
  kReplayBytes,
  kPoolIdle,
  kKeyUpdates,
  kSweepPerTurn,
  kLogLines,
  kDescriptors,  // The process's own, of the kernel's making.
};
inline constexpr size_t kLimitCount = 21;

inline std::string_view LimitName(Limit limit) {
  static constexpr std::array<std::string_view, kLimitCount> kNames = {
      "handshake_deadline",   "head_deadline",    "idle_deadline",
      "connect_deadline",     "request_deadline", "linger_deadline",
      "pool_idle_deadline",   "connections",      "connections_per_peer",
      "half_open_per_source", "half_open",        "out_bytes",
      "turn_bytes",           "accepts_per_turn", "waiting",
      "replay_bytes",         "pool_idle",        "key_updates",
      "sweep_per_turn",       "log_lines",        "descriptors"};
  return kNames[static_cast<size_t>(limit)];
}

}  // namespace countersign::proxy
