// The first half of an exchange: from the request's head to its verdict, and how it ends.
#include "proxy_agent/exchange.h"

#include "proxy_agent/http/head.h"
#include "proxy_agent/server_connection.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {
namespace {

int StatusOfDenial(authz::Reason reason) {
  switch (reason) {
    case authz::Reason::kAmbiguousField:
      return 400;
    case authz::Reason::kNotReady:
      return 503;
    default:
      return 403;
  }
}

authz::Verdict Refusal(authz::Reason reason) {
  authz::Verdict verdict;
  verdict.decision.reason = reason;
  return verdict;
}

size_t ClassOf(int status) { return static_cast<size_t>(status / 100 % 6); }

}  // namespace

Exchange::Exchange(Worker& worker)
    : worker_(worker),
      request_deadline_(worker.loop().timers(), *this),
      try_deadline_(worker.loop().timers(), *this),
      continue_deadline_(worker.loop().timers(), *this) {}

Exchange::~Exchange() {
  if (state_ != State::kDone) {
    DropUpstream();
    worker_.registry().Remove(registered_);
    worker_.upstream_users().Remove(user_handle_);
  }
}

void Exchange::Begin(ServerConnection& server, http::StreamId stream, http::RequestHeadPtr head,
                     http::End end) {
  server_ = &server;
  door_ = server.origin().door;
  stream_ = stream;
  head_ = std::move(head);
  state_ = State::kAwaitVerdict;
  request_ended_ = end == http::End::kYes;
  hold_body_ = head_sent_ = whole_ = tunnel_ = false;
  recorded_ = {};
  attempt_.number = 0;
  attempt_.sent = false;
  rule_ = nullptr;
  cluster_ = nullptr;
  stale_tries_ = 0;
  stale_ = false;
  tried_.clear();
  replay_.clear();
  replayable_ = true;
  credit_out_ = response_credit_out_ = 0;
  status_ = 0;
  bytes_in_ = bytes_out_ = 0;
  reason_ = authz::Reason::kNotReady;
  began_ = worker_.loop().now();
  registered_ = worker_.registry().Add(*this);
  user_handle_ = worker_.upstream_users().Add(*this);
  if (const authz::CanonicalError error = Canonicalize(); error != authz::CanonicalError::kNone) {
    worker_.metrics().canonical_errors.Add();
    LogRefusal(authz::CanonicalErrorName(error));
    return Answer(400, "");
  }
  AwaitVerdict();
}

// The one form of the request for judging, routing, logging and forwarding.
authz::CanonicalError Exchange::Canonicalize() {
  const Door& door = *door_;
  const http::RequestHead& head = *head_;
  path_buffer_.resize(head.target.size());
  const authz::CanonicalTarget target =
      authz::CanonicalizePath(head.target, door.relaxations, path_buffer_);
  const authz::CanonicalHost host = authz::CanonicalizeHost(head.authority, host_buffer_);
  if (!target.ok() || !host.ok()) {
    return target.ok() ? host.error : target.error;
  }
  query_.clear();
  if (target.has_query) {
    query_buffer_.resize(target.query.size());
    query_.resize(authz::CanonicalLimits::kQueryParametersMax);
    const authz::ParsedQuery parsed = authz::ParseQuery(target.query, query_buffer_, query_);
    if (!parsed.ok()) {
      return parsed.error;
    }
    query_.resize(parsed.parameters.size());
  }
  headers_.clear();
  for (const http::Header& header : head.headers) {
    if (http::IsJudged(header)) {
      headers_.push_back({header.name, header.value});
    }
  }
  target_.assign(target.path);
  if (target.has_query) {
    target_.push_back('?');
    target_.append(target.query);
  }
  host_.assign(host.host);
  if (host.port != 0) {
    host_.push_back(':');
    internal::AppendPart(host_, host.port);
  }
  request_ = {};
  request_.kind = authz::RequestKind::kHttp;
  request_.callee = door.callee.str();
  request_.peer_ip = server_->origin().peer.ip();
  request_.port = door.port;
  request_.sni = server_->sni();
  request_.method = head.method;
  request_.path = target.path;
  request_.host = host.host;
  request_.headers = headers_;
  request_.query = query_;
  if (door.direction == Direction::kOutbound) {
    request_.caller = door.workload.str();
  } else if (server_->peer() != nullptr) {
    request_.caller = server_->peer()->id().str();
  }
  return authz::CanonicalError::kNone;
}

// LogRefusal says in the log what the caller is not told: why a request gets no verdict, or why its
// verdict does not count.
void Exchange::LogRefusal(std::string_view reason) {
  const std::string caller = PeerName(server_->origin(), server_->peer());
  if (worker_.request_log().May(caller, worker_.loop().now())) {
    worker_.request_log().Write("request refused",
                                {{"reason", reason},
                                 {"caller", caller},
                                 {"service", door_->service},
                                 {"port", door_->name},
                                 {"method", RequestLog::Excerpt(head_->method)},
                                 {"path", RequestLog::Excerpt(head_->target)},
                                 {"host", RequestLog::Excerpt(head_->authority)}});
  }
}

// AwaitVerdict asks for the verdict, which comes to OnVerdict: at once while the engine is in this
// process, later where somebody else has a say.
void Exchange::AwaitVerdict() {
  state_ = State::kAwaitVerdict;
  OnVerdict(Judge());
}

authz::Verdict Exchange::Judge() {
  authz::Authorizer& authorizer = worker_.authorizer();
  // The door of today: a configuration may have closed or narrowed it since the request came in.
  const Door* current = worker_.CurrentDoor(server_->origin(), *door_);
  if (!worker_.MayServe() || current == nullptr) {
    return Refusal(authz::Reason::kNotReady);
  }
  const Door& door = *current;
  if (door.direction == Direction::kOutbound) {
    if (!door.reach.has_value() || !server_->origin().local.has_value()) {
      return Refusal(authz::Reason::kLocalCallerRefused);
    }
    return authorizer.AuthorizeOutbound(*server_->origin().local, *door.reach);
  }
  const identity::VerifiedPeer* peer = server_->peer();
  // Plaintext comes to an edge port for its probes alone.
  const bool sealed = server_->sealed();
  const bool anonymous_may_ask =
      door.tls == authz::PortTls::kPermissive || (door.tls == authz::PortTls::kEdge && sealed);
  if (!door.probes.empty() || (peer == nullptr && !anonymous_may_ask)) {
    // On a mesh port nobody but an exempt probe passes without an identity.
    authz::Verdict probe = authorizer.AuthorizeProbe(request_, door.probes);
    if (probe.permit.has_value() || (peer == nullptr && !anonymous_may_ask)) {
      return probe;
    }
  }
  const WallTime now = worker_.loop().wall_now();
  if (peer != nullptr) {
    return authorizer.AuthorizeRequest(*peer, request_, now, &server_->view());
  }
  return authorizer.AuthorizeRequest(authz::Anonymous(), request_, now, &server_->view());
}

void Exchange::OnVerdict(authz::Verdict verdict) {
  const authz::Decision& decision = verdict.decision;
  reason_ = decision.reason;
  recorded_ = worker_.audit().Record(server_->origin(), *door_, server_->peer(), request_, decision,
                                     worker_.loop().wall_now());
  if (!verdict.permit.has_value()) {
    return Deny(decision);
  }
  if (!recorded_.slot && door_->durability == audit::Durability::kStrict) {
    LogRefusal("audit_ring_full");
    return Answer(503, "");  // What cannot be recorded does not pass.
  }
  if (reason_ == authz::Reason::kProbe) {
    worker_.metrics().probes.Add();
  }
  if (decision.would_be != decision.effect) {
    worker_.metrics()
        .would_differ[static_cast<size_t>(door_->direction)][static_cast<size_t>(decision.would_be)]
        .Add();
  }
  attempt_.permit = std::move(verdict.permit);
  if (door_->direction == Direction::kInbound || ChooseRoute()) {
    AwaitUpstream();
  }
}

void Exchange::Deny(const authz::Decision& decision) {
  AnswerWithDecision(StatusOfDenial(decision.reason));
}

void Exchange::AnswerWithDecision(int status, CutReason cut) {
  Answer(status, Concat("{\"decision\":\"", audit::DecisionIdText(recorded_.id), "\"}"), cut);
}

// Answer is the proxy's own response, whole. A request body that nobody will read closes the
// connection, so that its bytes are not taken for the next request.
void Exchange::Answer(int status, std::string_view body, CutReason cut) {
  static constexpr http::Header kJson[] = {{.id = http::HeaderId::kContentType,
                                            .fate = http::HeaderFate::kEndToEnd,
                                            .name = "content-type",
                                            .value = "application/json"}};
  DropUpstream();
  status_ = status;
  if (head_sent_) {
    return Finish(CutReason::kUpstreamGone);
  }
  head_sent_ = true;
  http::OutgoingResponse response;
  response.status = status;
  response.body = http::BodyKind::kLength;
  response.content_length = body.size();
  if (!body.empty()) {
    response.headers = kJson;
  }
  server_->SendWhole(stream_, response, body);
  bytes_out_ += body.size();
  whole_ = true;
  Finish(cut);
}

// Finish writes the second record and lets everything go. After it the exchange is clean.
void Exchange::Finish(CutReason cut) {
  DropUpstream();
  const auto direction = static_cast<size_t>(door_->direction);
  const std::chrono::nanoseconds took = worker_.loop().now() - began_;
  WorkerMetrics& metrics = worker_.metrics();
  metrics.requests[direction][static_cast<size_t>(reason_)][ClassOf(status_)].Add();
  metrics.request_latency[direction].Observe(static_cast<uint64_t>(took.count()) / 1000);
  if (cut != CutReason::kNone) {
    metrics.cut[static_cast<size_t>(cut)].Add();
  }
  if (recorded_.slot) {
    worker_.audit().Complete(std::move(recorded_),
                             {.status = static_cast<uint16_t>(status_),
                              .bytes_in = bytes_in_,
                              .bytes_out = bytes_out_,
                              .duration_ns = static_cast<uint64_t>(took.count()),
                              .upstream = upstream_text_,
                              .cut = cut},
                             worker_.loop().wall_now());
  }
  state_ = State::kDone;
  Reset();
  if (whole_) {
    server_->Finished(stream_);
  } else {
    server_->Broken(stream_);
  }
}

void Exchange::Reset() {
  worker_.registry().Remove(registered_);
  worker_.upstream_users().Remove(user_handle_);
  request_deadline_.Clear();
  try_deadline_.Clear();
  continue_deadline_.Clear();
  recorded_ = {};
  attempt_.permit.reset();
  attempt_.endpoint.reset();
  rule_ = nullptr;
  cluster_ = nullptr;
  routes_.reset();
  upstream_text_.clear();
  if (replay_.capacity() > 4096) {
    replay_ = std::string();
  }
  head_.reset();
  door_.reset();
}

void Exchange::DropUpstream() {
  if (attempt_.connection != nullptr) {
    std::exchange(attempt_.connection, nullptr)->Abandon();
  }
}

void Exchange::Refused(int status) {
  if (state_ != State::kDone) {
    status_ = status;
    Finish(CutReason::kNone);
  }
}

void Exchange::Cut(CutReason reason) {
  if (state_ == State::kDone) {
    return;
  }
  if (!head_sent_ && reason != CutReason::kCallerGone && reason != CutReason::kShutdown &&
      reason != CutReason::kSvidExpired) {
    // The caller can still be told.
    return AnswerWithDecision(reason_ == authz::Reason::kNotReady ? 503 : 403, reason);
  }
  Finish(reason);
}

}  // namespace countersign::proxy
