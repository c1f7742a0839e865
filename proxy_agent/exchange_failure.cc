// How tries fail, and what is done then: try again, or answer and say in the log why.
#include <algorithm>

#include "proxy_agent/exchange.h"
#include "proxy_agent/server_connection.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {
namespace {

// A pooled connection may have been closed by its peer a moment ago; so many of them in a row say
// that something else is wrong.
constexpr uint32_t kStaleTriesMax = 3;

int StatusOfFailure(UpstreamFailure failure) {
  switch (failure) {
    case UpstreamFailure::kReset:
    case UpstreamFailure::kTruncated:
    case UpstreamFailure::kProtocol:
      return 502;
    case UpstreamFailure::kTimeout:
      return 504;
    default:
      return 503;
  }
}

}  // namespace

void Exchange::CountFailure(UpstreamFailure failure) {
  worker_.metrics().upstream_failures[static_cast<size_t>(failure)].Add();
}

void Exchange::LogFailure(UpstreamFailure failure, std::string_view cause) {
  const std::string caller = PeerName(server_->origin(), server_->peer());
  if (!worker_.request_log().May(caller, worker_.loop().now())) {
    return;
  }
  worker_.request_log().Write(head_sent_ ? "response cut short" : "request not forwarded",
                              {{"reason", UpstreamFailureName(failure)},
                               {"cause", cause},
                               {"upstream", upstream_text_},
                               {"tries", attempt_.number},
                               {"caller", caller},
                               {"service", door_->service},
                               {"port", door_->name},
                               {"method", RequestLog::Excerpt(request_.method)},
                               {"path", RequestLog::Excerpt(request_.path)},
                               {"decision", audit::DecisionIdText(recorded_.id)}});
}

void Exchange::OnConnectFailed(UpstreamFailure failure, std::string_view cause) {
  attempt_.connection = nullptr;
  if (failure != UpstreamFailure::kOverload) {  // Our own limit says nothing of the endpoint.
    BlameEndpoint();
  }
  TryAgainOrFail(failure, cause);
}

void Exchange::OnUpstreamLost(UpstreamFailure failure, std::string_view cause) {
  attempt_.connection = nullptr;
  if (head_sent_) {
    if (!tunnel_) {
      LogFailure(failure, cause);
    }
    return Finish(CutReason::kUpstreamGone);
  }
  if (!stale_) {  // A pooled connection ends when its peer finds it idle too long.
    BlameEndpoint();
  }
  TryAgainOrFail(failure, cause);
}

void Exchange::OnUpstreamCut(CutReason reason) {
  attempt_.connection = nullptr;
  if (head_sent_) {
    return Finish(reason);
  }
  TryAgainOrFail(UpstreamFailure::kReset, CutReasonName(reason));
}

// A request is sent again only if no byte of it can have had an effect: it did not leave, or its
// method is idempotent.
bool Exchange::MayTryAgain(UpstreamFailure failure, uint16_t status) {
  const bool reset = failure == UpstreamFailure::kReset;
  if (reset && stale_ && replayable_ && IsIdempotent(head_->method) &&
      stale_tries_ < kStaleTriesMax) {
    ++stale_tries_;
    --attempt_.number;
    return true;
  }
  if (rule_ == nullptr) {
    return false;
  }
  AttemptOutcome outcome{.status = status,
                         .bytes_sent = attempt_.sent,
                         .response_forwarded = head_sent_,
                         .body_available = replayable_,
                         .tries = attempt_.number};
  switch (failure) {
    case UpstreamFailure::kNone:
      outcome.failure = AttemptFailure::kStatus;
      break;
    case UpstreamFailure::kReset:
      outcome.failure = AttemptFailure::kResetBeforeResponse;
      break;
    case UpstreamFailure::kTimeout:
      outcome.failure = AttemptFailure::kTryTimeout;
      break;
    case UpstreamFailure::kTruncated:
    case UpstreamFailure::kProtocol:
      outcome.failure = AttemptFailure::kResetInResponse;
      break;
    case UpstreamFailure::kConnect:
    case UpstreamFailure::kHandshake:
      outcome.failure = AttemptFailure::kConnectFailure;
      break;
    case UpstreamFailure::kNoEndpoint:
    case UpstreamFailure::kOverload:
      return false;
  }
  if (rule_->retry.Judge(head_->method, outcome) != RetryVerdict::kRetry) {
    return false;
  }
  if (!worker_.router().TryRetry(routes_.get(), *door_, *rule_, worker_.loop().now())) {
    worker_.metrics().retries_over_budget.Add();
    return false;
  }
  return true;
}

void Exchange::TryAgainOrFail(UpstreamFailure failure, std::string_view cause) {
  DropUpstream();
  try_deadline_.Clear();
  if (!MayTryAgain(failure, 0)) {
    LogFailure(failure, cause);
    return AnswerWithDecision(StatusOfFailure(failure));
  }
  TryAgain();
}

// Each try has a verdict and a permit of its own.
void Exchange::TryAgain() {
  worker_.metrics().retries.Add();
  if (RenewPermit()) {
    AwaitUpstream();
  }
}

// Without a Route's time a request lives as long as something moves, up to a bound; a tunnel has
// none.
void Exchange::Progress() {
  const ProxyLimits& limits = worker_.limits();
  const MonotonicTime idle = worker_.loop().now() + limits.idle_deadline;
  if (tunnel_) {
    request_deadline_.Set(idle);
  } else if (rule_ == nullptr) {
    request_deadline_.Set(std::min<MonotonicTime>(idle, began_ + limits.request_deadline));
  }
}

void Exchange::CountDeadline(const Deadline& which) {
  if (&which != &request_deadline_ || (rule_ != nullptr && !tunnel_)) {
    return;  // The Route's own.
  }
  const bool whole = !tunnel_ && worker_.loop().now() >= began_ + worker_.limits().request_deadline;
  worker_.metrics().Reached(whole ? Limit::kRequestDeadline : Limit::kIdleDeadline);
}

void Exchange::OnDeadline(Deadline& which) {
  if (&which == &continue_deadline_) {
    hold_body_ = false;
    return CreditRequest();
  }
  CountDeadline(which);
  if (head_sent_) {
    return Finish(CutReason::kDeadline);
  }
  CountFailure(UpstreamFailure::kTimeout);
  if (request_ended_ || state_ == State::kAwaitUpstream) {  // Else the caller may be the slow one.
    BlameEndpoint();
  }
  if (&which == &try_deadline_) {
    return TryAgainOrFail(UpstreamFailure::kTimeout, "no response to one try in the route's time");
  }
  LogFailure(UpstreamFailure::kTimeout, "no response in time");
  AnswerWithDecision(504);
}

}  // namespace countersign::proxy
