// RetryPolicy says whether a failed attempt may be made again, on what is known without doubt.
//
// The rule that nothing overrides: a request that is not idempotent is sent again only when no byte
// of it can have reached the application. The verdict is not kept: each attempt is judged anew.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "authz/kinds/route.h"
#include "base/clock.h"

namespace countersign::proxy {

// AttemptFailure is how one attempt ended without a usable response.
enum class AttemptFailure : uint8_t {
  kConnectFailure,       // No connection, or one whose peer is not who it should be.
  kRefusedStream,        // HTTP/2: refused, or above GOAWAY's last stream. Never processed.
  kResetBeforeResponse,  // The connection ended before the first byte of a response.
  kResetInResponse,      // ... or after it.
  kStatus,               // A whole response head with a status that may be retried.
  kTryTimeout,           // Counts as status 504.
};

// AttemptOutcome is what the driver knows when an attempt failed.
struct AttemptOutcome {
  AttemptFailure failure = AttemptFailure::kConnectFailure;
  uint16_t status = 0;              // For kStatus.
  bool bytes_sent = false;          // Any byte of the request may have reached the upstream.
  bool response_forwarded = false;  // Any byte of a response went downstream.
  bool body_available = true;       // The whole request can be sent again.
  uint32_t tries = 1;               // Made so far, this one included.
};

// RetryVerdict says what to do, and if nothing, why.
enum class RetryVerdict : uint8_t {
  kRetry,
  kTriesSpent,
  kConditionNotListed,
  kNotIdempotent,
  kBodyGone,
  kResponseBegun,
};
std::string_view RetryVerdictName(RetryVerdict verdict);  // "retry", "tries_spent", ...

// IsIdempotent follows RFC 9110 section 9.2.2; a method that it does not name is not.
bool IsIdempotent(std::string_view method);

// RetryPolicy is a route rule's `retry`. Immutable; the budget is asked apart, last.
class RetryPolicy {
 public:
  explicit RetryPolicy(authz::RouteRetry retry) : retry_(std::move(retry)) {}
  RetryVerdict Judge(std::string_view method, const AttemptOutcome& outcome) const;
  // RetriesStatus says whether a response with that status is worth holding back.
  bool RetriesStatus(uint16_t status) const;
  uint32_t tries() const { return retry_.tries; }
  uint32_t budget_percent() const { return retry_.budget_percent; }

 private:
  bool Listed(const AttemptOutcome& outcome) const;
  authz::RouteRetry retry_;
};

// Timeouts is a route rule's `timeout`.
struct Timeouts {
  std::chrono::nanoseconds request = std::chrono::seconds(15);
  std::chrono::nanoseconds attempt = std::chrono::nanoseconds(0);  // 0: the request's alone.

  // AttemptDeadline is when an attempt that begins now must have its response head, for a request
  // that began at `began`. Never later than the request's own end.
  MonotonicTime AttemptDeadline(MonotonicTime now, MonotonicTime began) const;
};

}  // namespace countersign::proxy
