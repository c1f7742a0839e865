// The agent's limits, each with its reason.
#pragma once

#include <chrono>
#include <cstddef>

namespace countersign::agent {

struct AgentLimits {
  // What the server may push: the largest node has some thousand registrations of 1 KiB each.
  size_t state_bytes_max = 64 << 20;
  // One persisted SVID with its key: four certificates of 16 KiB, in base64.
  size_t svid_file_bytes_max = 128 << 10;
  // Requests on the Unix socket carry names, never documents.
  int request_bytes_max = 64 << 10;
  // A caller names its own ID and some trust domains.
  size_t names_per_stream_max = 64;
  size_t name_bytes_max = 2048;  // As long as a SPIFFE ID may be.
  // Envoy opens one stream a secret; one user must not take every stream.
  size_t streams_per_uid_max = 512;
  size_t connections_max = 4096;
  size_t connections_per_uid_max = 256;
  // Executables larger than this cannot be selected by sha256: hashing one costs a second.
  size_t exe_bytes_max = 512 << 20;
  size_t digests_cached_max = 1024;
  // What one user may make the agent hash in a minute.
  size_t hash_bytes_per_uid_minute_max = size_t{2} << 30;
  // /proc/PID/environ, for the demo selectors.
  size_t environ_bytes_max = 1 << 20;
  // Lines of the log that callers of one user may cause in a minute by being refused.
  size_t refusals_logged_per_uid_minute_max = 20;
  // A subscriber that neither reads nor acknowledges for so long is closed and named.
  std::chrono::nanoseconds subscriber_silence_max = std::chrono::seconds(30);
  // A caller whose registration or SVID is not there yet gets UNAVAILABLE after so long.
  std::chrono::nanoseconds first_svid_wait_max = std::chrono::seconds(5);
  // Reconnecting and retrying: doubles from least to most.
  std::chrono::nanoseconds backoff_least = std::chrono::milliseconds(100);
  std::chrono::nanoseconds backoff_most = std::chrono::seconds(10);
};

}  // namespace countersign::agent
