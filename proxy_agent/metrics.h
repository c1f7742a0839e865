// WorkerMetrics: what one worker counts; the admin port adds the workers up.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "authz/model/decision.h"
#include "base/counter.h"
#include "identity/verify_error.h"
#include "proxy_agent/door.h"
#include "proxy_agent/http/error.h"
#include "proxy_agent/limits.h"
#include "proxy_agent/tls_engine.h"

namespace countersign::proxy {

// CutReason says why the proxy ended something that was alive. Stored by name in audit records.
enum class CutReason : uint8_t {
  kNone,
  kPolicyChanged,
  kBundleChanged,
  kIdentityChanged,
  kSvidExpired,
  kDeadline,
  kIdle,
  kCallerGone,
  kUpstreamGone,
  kShutdown,
};
inline constexpr size_t kCutReasonCount = 10;
std::string_view CutReasonName(CutReason reason);  // "policy_changed"; empty for kNone.

// UpstreamFailure says why a try did not give a response.
enum class UpstreamFailure : uint8_t {
  kNone,
  kNoEndpoint,
  kConnect,    // Refused, unreachable, or not in time.
  kHandshake,  // TLS failed, or another peer answered than the expected one.
  kReset,      // The connection ended before a byte of the response.
  kTruncated,  // It ended within the response.
  kProtocol,   // The response breaks a rule of HTTP.
  kTimeout,
  kOverload,  // Our own limit of waiting requests.
};
inline constexpr size_t kUpstreamFailureCount = 9;
std::string_view UpstreamFailureName(UpstreamFailure failure);

// WorkerMetrics is written by its worker and read by the admin thread.
struct WorkerMetrics {
  static constexpr size_t kDirections = 2;
  static constexpr size_t kReasons = 11;
  static constexpr size_t kClasses = 6;  // No answer, 1xx ... 5xx.
  static constexpr size_t kHttpErrors = 64;
  static constexpr size_t kVerifyErrors = 64;
  static constexpr size_t kTlsFailures = 8;
  template <size_t N>
  using Counters = std::array<Counter, N>;

  std::array<std::array<Counters<kClasses>, kReasons>, kDirections> requests;
  std::array<Counters<kReasons>, kDirections> tunnels;
  std::array<Counters<2>, kDirections> would_differ;  // Trial policies: would deny, would allow.
  std::array<LatencyHistogram, kDirections> request_latency;
  LatencyHistogram handshake_latency;

  std::array<Counter, kDirections> connections_opened;
  std::array<Gauge, kDirections> connections;
  Gauge half_open;
  Gauge upstream_connections;
  Gauge upstream_idle;
  Counter upstream_opened;
  Counter upstream_reused;
  Counters<kUpstreamFailureCount> upstream_failures;
  Counter retries;
  Counter retries_over_budget;

  Counter handshakes;
  Counters<kTlsFailures> handshake_failures;
  Counters<kVerifyErrors> verify_failures;
  Counters<kHttpErrors> http_errors;
  Counter canonical_errors;
  Counter probes;
  Counter permissive_plaintext;

  Counters<kCutReasonCount> cut;
  Counter closed_not_ready;
  Counter closed_over_limit;
  Counters<kLimitCount> limits_reached;
  Counter rejudged;
  Gauge config_version;
  std::array<Counter, kDirections> tunnel_bytes_in;
  std::array<Counter, kDirections> tunnel_bytes_out;

  // Copies of the recorder's counters, which its thread alone may read.
  Gauge audit_recorded;
  Gauge audit_dropped;
  Gauge audit_refused;

  void Reached(Limit limit) { limits_reached[static_cast<size_t>(limit)].Add(); }
};

// MetricsFacts is what is not counted by workers.
struct MetricsFacts {
  bool ready = false;
  double svid_not_after = 0;  // Seconds since the epoch; 0: none.
  std::string svid_serial;
  std::string policy_digest;
  uint64_t config_version = 0;
  uint64_t config_refused = 0;
  uint64_t identity_updates = 0;
  bool audit_connected = false;
};

// RenderMetrics writes the OpenMetrics text of all workers together.
std::string RenderMetrics(const std::vector<const WorkerMetrics*>& workers,
                          const MetricsFacts& facts);

}  // namespace countersign::proxy
