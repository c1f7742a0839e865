#include "proxy_agent/tunnel.h"

#include "proxy_agent/worker.h"

namespace countersign::proxy {
namespace {

authz::Verdict Refusal(authz::Reason reason) {
  authz::Verdict verdict;
  verdict.decision.reason = reason;
  return verdict;
}

const identity::VerifiedPeer* PeerOf(const Transport& transport) {
  const TlsEngine* tls = transport.tls();
  return tls != nullptr && tls->peer().has_value() ? &*tls->peer() : nullptr;
}

}  // namespace

Tunnel::Tunnel(Worker& worker, Origin origin, std::unique_ptr<Transport> caller,
               PeerPlaces::Place place)
    : worker_(worker),
      origin_(std::move(origin)),
      place_(std::move(place)),
      caller_(std::move(caller)),
      began_(worker.loop().now()),
      turn_(*this),
      deadline_(worker.loop().timers(), *this),
      expiry_(worker.loop().timers(), *this),
      registered_(worker.registry().Add(*this)) {
  caller_->set_owner(this);
  const auto direction = static_cast<size_t>(origin_.door->direction);
  worker_.metrics().connections[direction].Add(1);
  worker_.metrics().connections_opened[direction].Add();
}

Tunnel::~Tunnel() {
  worker_.registry().Remove(registered_);
  worker_.metrics().connections[static_cast<size_t>(origin_.door->direction)].Add(-1);
}

void Tunnel::Begin() {
  const Door& door = *origin_.door;
  request_.kind = authz::RequestKind::kTcp;
  request_.callee = door.callee.str();
  request_.peer_ip = origin_.peer.ip();
  request_.port = door.port;
  if (const TlsEngine* tls = std::as_const(*caller_).tls()) {
    request_.sni = tls->sni();
  }
  const identity::VerifiedPeer* peer = PeerOf(*caller_);
  if (door.direction == Direction::kOutbound) {
    request_.caller = door.workload.str();
  } else if (peer != nullptr) {
    request_.caller = peer->id().str();
  }
  // Server-speaks-first protocols wait for us: the verdict needs no byte of the caller.
  authz::Verdict verdict = Judge();
  reason_ = verdict.decision.reason;
  recorded_ = worker_.audit().Record(origin_, door, peer, request_, verdict.decision,
                                     worker_.loop().wall_now());
  const bool unrecorded = !recorded_.slot && door.durability == audit::Durability::kStrict;
  if (!verdict.permit.has_value() || unrecorded) {
    return Close(CutReason::kNone);
  }
  permit_ = std::move(verdict.permit);
  SetExpiry(*caller_);
  DialNext();
}

authz::Verdict Tunnel::Judge() {
  const Door& door = *origin_.door;
  authz::Authorizer& authorizer = worker_.authorizer();
  const Door* current = worker_.CurrentDoor(origin_, door);
  if (!worker_.MayServe() || current == nullptr) {
    return Refusal(authz::Reason::kNotReady);
  }
  if (door.direction == Direction::kOutbound) {
    // Another callee than the one that was dialled is another service.
    if (!current->reach.has_value() || !origin_.local.has_value() ||
        current->callee != door.callee) {
      return Refusal(authz::Reason::kLocalCallerRefused);
    }
    return authorizer.AuthorizeOutbound(*origin_.local, *current->reach);
  }
  const WallTime now = worker_.loop().wall_now();
  if (const identity::VerifiedPeer* peer = PeerOf(*caller_)) {
    return authorizer.AuthorizeConnection(*peer, request_, now);
  }
  const bool sealed = std::as_const(*caller_).tls() != nullptr;
  if (current->tls == authz::PortTls::kMesh || (current->tls == authz::PortTls::kEdge && !sealed)) {
    return Refusal(authz::Reason::kNoRuleMatched);
  }
  return authorizer.AuthorizeConnection(authz::Anonymous(), request_, now);
}

void Tunnel::DialNext() {
  const Door& door = *origin_.door;
  const Address* address = nullptr;
  if (door.direction == Direction::kInbound) {
    address = &*door.application;
  } else if (const Cluster& cluster = door.clusters.front(); !cluster.endpoints.empty()) {
    const std::optional<size_t> next = worker_.router().Next(cluster, worker_.loop().now(), tried_);
    tried_.push_back(next.value_or(0));
    address = &cluster.endpoints[tried_.back()].address;
  }
  if (address == nullptr) {
    return Fail(UpstreamFailure::kNoEndpoint, "the service has no endpoint that is known");
  }
  upstream_text_ = address->text();
  waiting_.reset();
  if (std::optional<Waiting::Place> waiting = worker_.waiting().Take()) {
    waiting_.emplace(*std::move(waiting));
  } else {
    worker_.metrics().Reached(Limit::kWaiting);
    return Fail(UpstreamFailure::kOverload, "too many connections are being made already");
  }
  StatusOr<Fd> socket = Dial(*address);
  if (!socket.ok()) {
    return NextEndpointOrClose(UpstreamFailure::kConnect, Message(socket.status()));
  }
  worker_.metrics().upstream_opened.Add();
  state_ = State::kConnecting;
  upstream_ =
      std::make_unique<Transport>(worker_.io(), *std::move(socket), Transport::Connected::kNotYet);
  deadline_.Set(worker_.loop().now() + worker_.limits().connect_deadline);
  upstream_->set_owner(this);
  if (const Status started = upstream_->Start(); !started.ok()) {
    NextEndpointOrClose(UpstreamFailure::kConnect, Message(started));
  }
}

void Tunnel::Fail(UpstreamFailure failure, std::string_view cause) {
  worker_.metrics().upstream_failures[static_cast<size_t>(failure)].Add();
  const std::string caller = PeerName(origin_, PeerOf(*caller_));
  if (worker_.request_log().May(caller, worker_.loop().now())) {
    worker_.request_log().Write("connection not forwarded",
                                {{"reason", UpstreamFailureName(failure)},
                                 {"cause", cause},
                                 {"upstream", upstream_text_},
                                 {"caller", caller},
                                 {"service", origin_.door->service},
                                 {"port", origin_.door->name},
                                 {"decision", audit::DecisionIdText(recorded_.id)}});
  }
  Close(CutReason::kUpstreamGone);
}

void Tunnel::NextEndpointOrClose(UpstreamFailure failure, std::string_view cause) {
  if (upstream_ != nullptr) {
    upstream_->Close();
    worker_.loop().Bury(std::move(upstream_));
  }
  const Door& door = *origin_.door;
  if (door.direction == Direction::kOutbound && !tried_.empty()) {
    const Cluster& cluster = door.clusters.front();
    worker_.router().OnFailure(cluster, tried_.back(), worker_.loop().now());
    if (tried_.size() < cluster.endpoints.size()) {
      worker_.metrics().upstream_failures[static_cast<size_t>(failure)].Add();
      return DialNext();
    }
  }
  Fail(failure, cause);
}

void Tunnel::Advance() {
  switch (state_) {
    case State::kConnecting:
    case State::kHandshaking:
      if (caller_->broken()) {
        return Close(CutReason::kCallerGone);
      }
      return AdvanceUpstream();
    case State::kOpen:
      return Relay();
    case State::kClosed:
      return;
  }
}

void Tunnel::AdvanceUpstream() {
  if (upstream_ == nullptr) {
    return;
  }
  const Door& door = *origin_.door;
  if (state_ == State::kConnecting) {
    const Transport::Io io = upstream_->Connect();
    if (io == Transport::Io::kWouldBlock) {
      return;
    }
    const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
    if (io != Transport::Io::kOk || identity == nullptr) {
      const Status error =
          ErrnoError(upstream_->connect_error(), Concat("connect to ", upstream_text_));
      return NextEndpointOrClose(UpstreamFailure::kConnect, Message(error));
    }
    if (door.direction == Direction::kOutbound) {
      upstream_->StartTls(identity->client_tcp(), door.callee);
    }
    state_ = State::kHandshaking;
    deadline_.Set(worker_.loop().now() + worker_.limits().handshake_deadline);
  }
  const Transport::Io io = upstream_->Handshake();
  if (io == Transport::Io::kWouldBlock) {
    return;
  }
  if (const TlsEngine* tls = upstream_->tls()) {
    WorkerMetrics& metrics = worker_.metrics();
    const bool spoken = io == Transport::Io::kOk && tls->alpn() == kAlpnTcp;
    if (!spoken || !tls->StillTrusted(worker_.snapshot().identity->verifier())) {
      const TlsFailure why = spoken                     ? TlsFailure::kPeerRefused
                             : io == Transport::Io::kOk ? TlsFailure::kAlpn
                                                        : tls->failure();
      metrics.handshake_failures[static_cast<size_t>(why)].Add();
      return NextEndpointOrClose(UpstreamFailure::kHandshake, TlsFailureName(why));
    }
    metrics.handshakes.Add();
    SetExpiry(*upstream_);
  }
  if (permit_->Stale(worker_.authorizer().basis())) {
    Revise({.policy = true, .bundle = false, .svid = false});
    if (state_ == State::kClosed) {
      return;
    }
  }
  Forward(std::move(*permit_));
}

void Tunnel::Forward(authz::Permit permit) {
  permit_.reset();
  if (permit.Stale(worker_.authorizer().basis())) {
    return Close(CutReason::kPolicyChanged);
  }
  state_ = State::kOpen;
  waiting_.reset();
  if (!tried_.empty()) {
    worker_.router().OnSuccess(origin_.door->clusters.front(), tried_.back());
  }
  deadline_.Set(worker_.loop().now() + worker_.limits().idle_deadline);
  Relay();
}

void Tunnel::Relay() {
  if (!Pump(*caller_, *upstream_, caller_ended_, bytes_in_) ||
      !Pump(*upstream_, *caller_, upstream_ended_, bytes_out_)) {
    return;
  }
  if (caller_->broken()) {
    return Close(CutReason::kCallerGone);
  }
  if (upstream_->broken()) {
    return Close(CutReason::kUpstreamGone);
  }
  if (caller_ended_ && upstream_ended_ && caller_->writes_finished() &&
      upstream_->writes_finished()) {
    Close(CutReason::kNone);
  }
}

bool Tunnel::Pump(Transport& from, Transport& to, bool& ended, uint64_t& bytes) {
  size_t budget = worker_.limits().turn_bytes_max;
  while (!ended && !to.Full() && from.MayRead()) {
    const std::span<char> scratch = worker_.io().plain_scratch();
    size_t got = 0;
    const Transport::Io io = from.Read(scratch, got);
    if (io == Transport::Io::kWouldBlock) {
      break;
    }
    if (io == Transport::Io::kEnd) {
      ended = true;
      to.FinishWrites();
      break;
    }
    if (io == Transport::Io::kCut) {
      Close(&from == caller_.get() ? CutReason::kCallerGone : CutReason::kUpstreamGone);
      return false;
    }
    bytes += got;
    to.Write({scratch.data(), got});
    deadline_.Set(worker_.loop().now() + worker_.limits().idle_deadline);
    if (got >= budget) {
      worker_.metrics().Reached(Limit::kTurnBytes);
      worker_.loop().InTurn(turn_);
      break;
    }
    budget -= got;
  }
  return true;
}

// A tunnel has no moment between two requests to end at, so it runs until an identity ends.
void Tunnel::SetExpiry(const Transport& transport) {
  if (transport.tls() == nullptr) {
    return;
  }
  WallTime end = worker_.snapshot().identity->svid().not_after();
  if (const identity::VerifiedPeer* peer = PeerOf(transport)) {
    end = std::min(end, peer->not_after());
  }
  const MonotonicTime at = worker_.loop().now() + (end - worker_.loop().wall_now());
  if (!expiry_.set() || at < expiry_.at()) {
    expiry_.Set(at);
  }
}

void Tunnel::OnDeadline(Deadline& which) {
  if (&which == &expiry_) {
    return Close(CutReason::kSvidExpired);
  }
  switch (state_) {
    case State::kConnecting:
      worker_.metrics().Reached(Limit::kConnectDeadline);
      return NextEndpointOrClose(UpstreamFailure::kConnect, "not connected in time");
    case State::kHandshaking:
      worker_.metrics().Reached(Limit::kHandshakeDeadline);
      return NextEndpointOrClose(UpstreamFailure::kHandshake, "handshake not over in time");
    case State::kOpen:
      worker_.metrics().Reached(Limit::kIdleDeadline);
      return Close(CutReason::kIdle);
    case State::kClosed:
      return;
  }
}

void Tunnel::Revise(const Change& change) {
  if (state_ == State::kClosed) {
    return;
  }
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  if (identity == nullptr || identity->svid().id() != origin_.door->workload) {
    return Close(CutReason::kIdentityChanged);
  }
  if (change.bundle) {
    for (const Transport* side : {caller_.get(), upstream_.get()}) {
      if (side != nullptr && side->tls() != nullptr && side->tls()->established() &&
          !side->tls()->VerifyAgain(identity->verifier())) {
        return Close(CutReason::kBundleChanged);
      }
    }
  }
  authz::Verdict verdict = Judge();
  worker_.metrics().rejudged.Add();
  if (verdict.permit.has_value()) {
    if (permit_.has_value()) {
      permit_ = std::move(verdict.permit);
    }
    return;
  }
  // The new verdict has a record of its own; the one that let the tunnel in says how it ended.
  Recorded denied = worker_.audit().Record(origin_, *origin_.door, PeerOf(*caller_), request_,
                                           verdict.decision, worker_.loop().wall_now());
  const CutReason reason = change.policy ? CutReason::kPolicyChanged : CutReason::kIdentityChanged;
  worker_.audit().Complete(std::move(denied), {.cut = reason}, worker_.loop().wall_now());
  Close(reason);
}

void Tunnel::Close(CutReason reason) {
  if (state_ == State::kClosed) {
    return;
  }
  state_ = State::kClosed;
  WorkerMetrics& metrics = worker_.metrics();
  const auto direction = static_cast<size_t>(origin_.door->direction);
  metrics.tunnels[direction][static_cast<size_t>(reason_)].Add();
  metrics.tunnel_bytes_in[direction].Add(bytes_in_);
  metrics.tunnel_bytes_out[direction].Add(bytes_out_);
  if (reason != CutReason::kNone) {
    metrics.cut[static_cast<size_t>(reason)].Add();
  }
  const std::chrono::nanoseconds took = worker_.loop().now() - began_;
  worker_.audit().Complete(std::move(recorded_),
                           {.status = 0,
                            .bytes_in = bytes_in_,
                            .bytes_out = bytes_out_,
                            .duration_ns = static_cast<uint64_t>(took.count()),
                            .upstream = upstream_text_,
                            .cut = reason},
                           worker_.loop().wall_now());
  waiting_.reset();
  deadline_.Clear();
  expiry_.Clear();
  caller_->Close();
  if (upstream_ != nullptr) {
    upstream_->Close();
  }
  worker_.Bury(*this);
}

}  // namespace countersign::proxy
