// ProxyLimits: every bound of the proxy's data path in one place, each with its reason.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace countersign::proxy {

struct ProxyLimits {
  // A peer that has not ended its handshake by then is broken or holds the slot on purpose.
  std::chrono::milliseconds handshake_deadline{5'000};
  // From the first byte of a head to its end; slower is a slow-read attack.
  std::chrono::milliseconds head_deadline{10'000};
  // Between two requests, and for a body or a tunnel that stands still.
  std::chrono::milliseconds idle_deadline{300'000};
  // An endpoint on the same network answers a SYN in less, or is down.
  std::chrono::milliseconds connect_deadline{3'000};
  // A Route says what it wants; without one no request may hold its caller for ever.
  std::chrono::milliseconds request_deadline{300'000};
  // A connection that ends gives its peer this long to take the last bytes.
  std::chrono::milliseconds linger_deadline{2'000};
  // Idle upstream connections kept longer would meet the peer's own idle deadline.
  std::chrono::milliseconds pool_idle_deadline{60'000};
  // Connections end this long before an SVID does, so that both sides' clocks may differ a little.
  std::chrono::milliseconds expiry_margin{500};

  // Per worker; 16 KiB a TLS connection makes 256 MiB at the bound.
  size_t connections_max = 16'384;
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
  // Waiters for upstream connections of one worker.
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
};

inline constexpr ProxyLimits kLimits;

}  // namespace countersign::proxy
