// The second half of an exchange: from the permit to the end of the response.
#include <algorithm>

#include "proxy_agent/exchange.h"
#include "proxy_agent/http/head.h"
#include "proxy_agent/server_connection.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {
namespace {

// How long a client that expects 100-continue is kept waiting for an upstream that says nothing.
constexpr std::chrono::seconds kContinueWait{1};

// What the other side may send now, given what waits already and what it was told before.
size_t CreditFor(size_t unsent, size_t promised, size_t out_bytes_max) {
  const size_t taken = unsent + promised;
  const size_t room = taken < out_bytes_max ? out_bytes_max - taken : 0;
  return room >= out_bytes_max / 4 ? room : 0;
}

}  // namespace

// ChooseRoute finds the rule for an outbound request. False: there is none, and it was answered.
bool Exchange::ChooseRoute() {
  Router& router = worker_.router();
  const RouteMatch match = router.Match(*door_, request_, worker_.loop().wall_now());
  switch (match.result) {
    case RouteMatch::Result::kRule:
      break;
    case RouteMatch::Result::kNoRule:
      LogRefusal("no_rule_of_the_route_matches");
      AnswerWithDecision(404);
      return false;
    case RouteMatch::Result::kAmbiguous:
      LogRefusal("ambiguous_field");
      AnswerWithDecision(400);
      return false;
    case RouteMatch::Result::kFault:
      LogRefusal("matcher_fault");
      AnswerWithDecision(500);
      return false;
  }
  routes_ = router.routes();
  rule_ = match.rule;
  cluster_ = &router.PickCluster(*door_, *rule_);
  router.OnRequest(*door_, *rule_, worker_.loop().now());
  request_deadline_.Set(began_ + rule_->timeouts.request);
  return true;
}

bool Exchange::ChooseUpstream(UpstreamTarget& target) {
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  if (identity == nullptr) {
    return false;
  }
  if (door_->direction == Direction::kInbound) {
    target.address = &*door_->application;
    return true;
  }
  attempt_.endpoint = worker_.router().Next(*cluster_, worker_.loop().now(), tried_);
  if (!attempt_.endpoint.has_value()) {
    return false;
  }
  tried_.push_back(*attempt_.endpoint);
  const Endpoint& endpoint = cluster_->endpoints[*attempt_.endpoint];
  target.address = &endpoint.address;
  target.peer = &endpoint.peer;
  target.svid_generation = identity->svid_generation();
  target.bundle_generation = identity->bundle_generation();
  return true;
}

void Exchange::AwaitUpstream() {
  state_ = State::kAwaitUpstream;
  ++attempt_.number;
  attempt_.sent = false;
  UpstreamTarget target{.alpn = kAlpnHttp1};
  if (!ChooseUpstream(target)) {
    CountFailure(UpstreamFailure::kNoEndpoint);
    return TryAgainOrFail(UpstreamFailure::kNoEndpoint,
                          "the service has no endpoint that is known");
  }
  upstream_text_ = target.address->text();
  if (rule_ != nullptr && rule_->timeouts.attempt.count() > 0) {
    try_deadline_.Set(rule_->timeouts.AttemptDeadline(worker_.loop().now(), began_));
  }
  Progress();
  StatusOr<UpstreamConnection*> acquired = worker_.pool().Acquire(target, user_handle_);
  if (!acquired.ok()) {
    const bool ours = absl::IsResourceExhausted(acquired.status());
    const UpstreamFailure failure = ours ? UpstreamFailure::kOverload : UpstreamFailure::kConnect;
    CountFailure(failure);
    return OnConnectFailed(failure, Message(acquired.status()));
  }
  attempt_.connection = *acquired;
  if (attempt_.connection->connected()) {
    ForwardRequest();
  }
}

void Exchange::OnConnected() { ForwardRequest(); }

void Exchange::PraiseEndpoint() {
  if (cluster_ != nullptr && attempt_.endpoint.has_value()) {
    worker_.router().OnSuccess(*cluster_, *attempt_.endpoint);
  }
}

void Exchange::BlameEndpoint() {
  if (cluster_ != nullptr && attempt_.endpoint.has_value()) {
    worker_.router().OnFailure(*cluster_, *attempt_.endpoint, worker_.loop().now());
  }
}

http::OutgoingRequest Exchange::MakeOutgoing() const {
  http::OutgoingRequest request;
  request.head = head_.get();
  request.target = target_;
  request.host = host_;
  request.upgrade = head_->upgrade;
  if (door_->direction == Direction::kInbound) {
    request.edits.forwarded_client_cert = server_->forwarded_client_cert();
  }
  return request;
}

// RenewPermit judges again what was judged on a basis that is no more. False: denied and answered.
bool Exchange::RenewPermit() {
  authz::Verdict verdict = Judge();
  worker_.metrics().rejudged.Add();
  if (!verdict.permit.has_value()) {
    Supersede(verdict.decision, CutReason::kPolicyChanged);
    return false;
  }
  attempt_.permit = std::move(verdict.permit);
  return true;
}

void Exchange::ForwardRequest() {
  if ((!attempt_.permit.has_value() || attempt_.permit->Stale(worker_.authorizer().basis())) &&
      !RenewPermit()) {
    return;
  }
  const bool has_body = head_->body != http::BodyKind::kNone;
  authz::Permit permit = std::move(*attempt_.permit);
  attempt_.permit.reset();
  if (!attempt_.connection->Forward(std::move(permit), MakeOutgoing(),
                                    has_body ? http::End::kNo : http::End::kYes)) {
    return TryAgainOrFail(UpstreamFailure::kReset, "the permit was stale");
  }
  state_ = State::kForwarded;
  attempt_.sent = true;
  stale_ = attempt_.connection->reused();
  if (has_body) {
    replayable_ = replayable_ && IsIdempotent(head_->method);
    hold_body_ = head_->expects_continue && attempt_.number == 1;
    if (hold_body_) {
      continue_deadline_.Set(worker_.loop().now() + kContinueWait);
    }
    if (!replay_.empty()) {
      attempt_.connection->SendBody(replay_);
    }
    if (request_ended_) {
      attempt_.connection->SendEnd({});
    }
    CreditRequest();
  }
  response_credit_out_ = 0;
  CreditResponse();
}

void Exchange::CreditRequest() {
  if (attempt_.connection == nullptr || hold_body_ || request_ended_ ||
      state_ == State::kAwaitUpstream) {
    return;
  }
  if (const size_t more = CreditFor(attempt_.connection->unsent_bytes(), credit_out_,
                                    worker_.limits().out_bytes_max);
      more > 0) {
    credit_out_ += more;
    server_->Credit(stream_, more);
  }
}

void Exchange::CreditResponse() {
  if (attempt_.connection == nullptr || state_ == State::kAwaitUpstream) {
    return;
  }
  if (const size_t more =
          CreditFor(server_->unsent_bytes(), response_credit_out_, worker_.limits().out_bytes_max);
      more > 0) {
    response_credit_out_ += more;
    attempt_.connection->CreditResponse(more);
  }
}

void Exchange::OnRequestBody(std::string_view data) {
  if (state_ == State::kDone) {
    return;
  }
  credit_out_ -= std::min(credit_out_, data.size());
  bytes_in_ += data.size();
  Progress();
  if (state_ == State::kAwaitUpstream) {
    replay_.append(data);  // Within the credit given before; sent with the next try.
    return;
  }
  if (replayable_ && !tunnel_) {
    replay_.append(data);
    if (replay_.size() > worker_.limits().replay_bytes_max) {
      worker_.metrics().Reached(Limit::kReplayBytes);
      replayable_ = false;
      replay_ = std::string();
    }
  }
  if (attempt_.connection != nullptr) {
    attempt_.connection->SendBody(data);
    CreditRequest();
  }
}

// Trailers come after the verdict, so nobody judged them: they end here. An application that reads
// them into its headers would be told what a rule forbids.
void Exchange::OnRequestEnd() {
  request_ended_ = true;
  if (attempt_.connection != nullptr && state_ != State::kAwaitUpstream) {
    attempt_.connection->SendEnd({});
  }
}

void Exchange::OnCallerDrained() {
  if (state_ != State::kDone) {
    CreditResponse();
  }
}

void Exchange::OnUpstreamDrained() { CreditRequest(); }

void Exchange::OnResponse(http::ClientEvent& event) {
  Progress();
  switch (event.kind) {
    case http::EventKind::kInterim: {
      hold_body_ = false;
      http::OutgoingResponse interim;
      interim.status = event.head->status;
      interim.headers = event.head->headers;
      server_->SendInterim(stream_, interim);
      return CreditRequest();
    }
    case http::EventKind::kHead:
      return OnResponseHead(event);
    case http::EventKind::kSwitched:
      return OnSwitched(event);
    case http::EventKind::kBody:
      bytes_out_ += event.data.size();
      response_credit_out_ -= std::min(response_credit_out_, event.data.size());
      server_->SendBody(stream_, event.data);
      return CreditResponse();
    case http::EventKind::kEnd:
      server_->SendEnd(stream_, event.trailers);
      return EndResponse();
    default:
      return;
  }
}

void Exchange::OnResponseHead(http::ClientEvent& event) {
  const http::ResponseHead& head = *event.head;
  hold_body_ = false;
  try_deadline_.Clear();
  PraiseEndpoint();
  if (rule_ != nullptr && rule_->retry.RetriesStatus(static_cast<uint16_t>(head.status)) &&
      MayTryAgain(UpstreamFailure::kNone, static_cast<uint16_t>(head.status))) {
    DropUpstream();  // This response is held back; the next try's may be better.
    return TryAgain();
  }
  status_ = head.status;
  head_sent_ = true;
  state_ = State::kResponding;
  http::OutgoingResponse response;
  response.status = head.status;
  response.headers = head.headers;
  response.internal = door_->direction == Direction::kInbound ? http::InternalHeaders::kRemove
                                                              : http::InternalHeaders::kKeep;
  response.body = head.body;
  response.content_length = head.content_length;
  server_->SendHead(stream_, response, event.end);
  if (event.end == http::End::kYes) {
    EndResponse();
  }
}

void Exchange::OnSwitched(http::ClientEvent& event) {
  PraiseEndpoint();
  try_deadline_.Clear();
  request_deadline_.Clear();  // A tunnel lives by progress, not by a request's time.
  status_ = event.head->status;
  head_sent_ = tunnel_ = true;
  request_ended_ = false;
  state_ = State::kResponding;
  http::OutgoingResponse response;
  response.status = status_;
  response.headers = event.head->headers;
  response.upgrade = event.head->upgrade;
  server_->SendHead(stream_, response, http::End::kNo);
  credit_out_ = response_credit_out_ = 0;
  CreditRequest();
  CreditResponse();
  Progress();
}

void Exchange::EndResponse() {
  whole_ = !tunnel_;
  UpstreamConnection* connection = std::exchange(attempt_.connection, nullptr);
  if (connection != nullptr) {
    if (request_ended_ && !tunnel_) {
      connection->Release();
    } else {
      connection->Abandon();
    }
  }
  Finish(CutReason::kNone);
}

void Exchange::Revise(const Change& change) {
  if (state_ == State::kDone) {
    return;
  }
  authz::Verdict verdict = Judge();
  worker_.metrics().rejudged.Add();
  if (!verdict.permit.has_value()) {
    return Supersede(verdict.decision,
                     change.policy ? CutReason::kPolicyChanged : CutReason::kIdentityChanged);
  }
  if (attempt_.permit.has_value()) {
    attempt_.permit = std::move(verdict.permit);
  }
}

// Supersede records the verdict that fell and the one that takes its place, and cuts.
void Exchange::Supersede(const authz::Decision& decision, CutReason reason) {
  const WallTime now = worker_.loop().wall_now();
  Recorded denied =
      worker_.audit().Record(server_->origin(), *door_, server_->peer(), request_, decision, now);
  if (recorded_.slot) {
    worker_.audit().Complete(
        std::move(recorded_),
        {.bytes_in = bytes_in_, .bytes_out = bytes_out_, .upstream = upstream_text_, .cut = reason},
        now);
  }
  recorded_ = std::move(denied);
  reason_ = decision.reason;
  Cut(reason);
}

}  // namespace countersign::proxy
