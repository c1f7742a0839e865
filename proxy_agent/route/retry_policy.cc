#include "proxy_agent/route/retry_policy.h"

#include <algorithm>

namespace countersign::proxy {

std::string_view RetryVerdictName(RetryVerdict verdict) {
  switch (verdict) {
    case RetryVerdict::kRetry:
      return "retry";
    case RetryVerdict::kTriesSpent:
      return "tries_spent";
    case RetryVerdict::kConditionNotListed:
      return "condition_not_listed";
    case RetryVerdict::kNotIdempotent:
      return "not_idempotent";
    case RetryVerdict::kBodyGone:
      return "body_gone";
    case RetryVerdict::kResponseBegun:
      return "response_begun";
  }
  return "unknown";
}

bool IsIdempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS" || method == "TRACE";
}

bool RetryPolicy::RetriesStatus(uint16_t status) const {
  return std::binary_search(retry_.statuses.begin(), retry_.statuses.end(), status);
}

bool RetryPolicy::Listed(const AttemptOutcome& outcome) const {
  switch (outcome.failure) {
    case AttemptFailure::kConnectFailure:
      return retry_.connect_failure;
    case AttemptFailure::kRefusedStream:
      return retry_.refused_stream;
    case AttemptFailure::kResetBeforeResponse:
      return retry_.reset;
    case AttemptFailure::kStatus:
      return RetriesStatus(outcome.status);
    case AttemptFailure::kTryTimeout:
      return RetriesStatus(504);
    case AttemptFailure::kResetInResponse:
      return false;
  }
  return false;
}

RetryVerdict RetryPolicy::Judge(std::string_view method, const AttemptOutcome& outcome) const {
  if (outcome.response_forwarded || outcome.failure == AttemptFailure::kResetInResponse) {
    return RetryVerdict::kResponseBegun;
  }
  if (!Listed(outcome)) {
    return RetryVerdict::kConditionNotListed;
  }
  // A refused stream was never processed, whatever was sent (RFC 9113 section 8.7).
  const bool untouched = outcome.failure == AttemptFailure::kRefusedStream || !outcome.bytes_sent;
  if (!untouched && !IsIdempotent(method)) {
    return RetryVerdict::kNotIdempotent;
  }
  if (!outcome.body_available) {
    return RetryVerdict::kBodyGone;
  }
  return outcome.tries < retry_.tries ? RetryVerdict::kRetry : RetryVerdict::kTriesSpent;
}

MonotonicTime Timeouts::AttemptDeadline(MonotonicTime now, MonotonicTime began) const {
  const MonotonicTime end = began + request;
  return attempt.count() == 0 ? end : std::min(end, now + attempt);
}

}  // namespace countersign::proxy
