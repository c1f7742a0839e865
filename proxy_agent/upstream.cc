#include "proxy_agent/upstream.h"

#include "proxy_agent/lifetime.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {
namespace {

std::string_view TlsCause(const TlsEngine& tls) {
  return tls.verify_error().has_value() ? identity::VerifyErrorName(*tls.verify_error())
                                        : TlsFailureName(tls.failure());
}

}  // namespace

UpstreamConnection::UpstreamConnection(Worker& worker, UpstreamKey key, Fd socket,
                                       Waiting::Place waiting)
    : worker_(worker),
      key_(std::move(key)),
      transport_(std::make_unique<Transport>(worker.io(), std::move(socket),
                                             Transport::Connected::kNotYet)),
      turn_(*this),
      deadline_(worker.loop().timers(), *this),
      expiry_(worker.loop().timers(), *this),
      waiting_(std::move(waiting)),
      began_(worker.loop().now()) {
  worker_.metrics().upstream_connections.Add(1);
}

UpstreamConnection::~UpstreamConnection() {
  if (registered_.has_value()) {
    worker_.registry().Remove(*registered_);
  }
  worker_.metrics().upstream_connections.Add(-1);
}

Status UpstreamConnection::Start(WeakHandle user) {
  user_ = user;
  deadline_.Set(worker_.loop().now() + worker_.limits().connect_deadline);
  transport_->set_owner(this);
  return transport_->Start();
}

void UpstreamConnection::Advance() {
  switch (state_) {
    case State::kConnecting:
      return AdvanceConnecting();
    case State::kHandshaking:
      return AdvanceHandshake();
    case State::kIdle:
      return AdvanceIdle();
    case State::kBusy:
      return AdvanceBusy();
    case State::kClosed:
      return;
  }
}

void UpstreamConnection::AdvanceConnecting() {
  const Transport::Io io = transport_->Connect();
  if (io == Transport::Io::kWouldBlock) {
    return;
  }
  if (io != Transport::Io::kOk) {
    return Fail(UpstreamFailure::kConnect,
                Message(ErrnoError(transport_->connect_error(),
                                   Concat("connect to ", key_.address.text()))));
  }
  if (!key_.peer.has_value()) {
    return BecomeReady();
  }
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  if (identity == nullptr) {
    return Fail(UpstreamFailure::kHandshake, "no identity of our own");
  }
  transport_->StartTls(identity->client_http(), *key_.peer);
  // Rotated while the connection was made: it belongs to the newer key.
  key_.svid_generation = identity->svid_generation();
  key_.bundle_generation = identity->bundle_generation();
  state_ = State::kHandshaking;
  deadline_.Set(worker_.loop().now() + worker_.limits().handshake_deadline);
  AdvanceHandshake();
}

void UpstreamConnection::AdvanceHandshake() {
  const Transport::Io io = transport_->Handshake();
  if (io == Transport::Io::kWouldBlock) {
    return;
  }
  WorkerMetrics& metrics = worker_.metrics();
  TlsEngine& tls = *transport_->tls();
  if (io != Transport::Io::kOk) {
    metrics.handshake_failures[static_cast<size_t>(tls.failure())].Add();
    if (tls.verify_error().has_value()) {
      metrics.verify_failures[static_cast<size_t>(*tls.verify_error())].Add();
    }
    return Fail(UpstreamFailure::kHandshake, TlsCause(tls));
  }
  metrics.handshakes.Add();
  if (tls.alpn() != key_.alpn) {
    metrics.handshake_failures[static_cast<size_t>(TlsFailure::kAlpn)].Add();
    return Fail(UpstreamFailure::kHandshake, TlsFailureName(TlsFailure::kAlpn));
  }
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  if (!tls.StillTrusted(identity->verifier())) {
    metrics.handshake_failures[static_cast<size_t>(TlsFailure::kPeerRefused)].Add();
    return Fail(UpstreamFailure::kHandshake, TlsFailureName(TlsFailure::kPeerRefused));
  }
  const WallTime now = worker_.loop().wall_now();
  const Lifetime lifetime =
      Lifetime::Of(now, identity->svid().not_after(), tls.peer()->not_after());
  retire_at_ = lifetime.retire_at;
  expiry_.Set(worker_.loop().now() + (lifetime.cut_at - now));
  registered_ = worker_.registry().Add(*this);
  BecomeReady();
}

void UpstreamConnection::BecomeReady() {
  codec_ = http::MakeHttp1ClientCodec(worker_.http_limits(), worker_.heads());
  state_ = State::kIdle;
  waiting_.reset();
  deadline_.Clear();
  UpstreamUser* user = worker_.upstream_users().Find(user_);
  if (user == nullptr) {
    return worker_.pool().Put(*this);  // Who asked is gone; the next one is served.
  }
  ++uses_;
  user->OnConnected();
}

bool UpstreamConnection::Forward(authz::Permit permit, const http::OutgoingRequest& request,
                                 http::End end) {
  if (permit.Stale(worker_.authorizer().basis())) {
    return false;
  }
  state_ = State::kBusy;
  stream_ = codec_->SendRequest(request, end, *this);
  return true;
}

void UpstreamConnection::SendBody(std::string_view data) { codec_->SendBody(stream_, data, *this); }

void UpstreamConnection::SendEnd(std::span<const http::Header> trailers) {
  codec_->SendEnd(stream_, trailers, *this);
}

void UpstreamConnection::CreditResponse(size_t bytes) {
  codec_->Credit(stream_, bytes);
  if (!held_.empty() || transport_->readable()) {
    worker_.loop().InTurn(turn_);
  }
}

bool UpstreamConnection::ResponseBegun() const {
  return state_ == State::kBusy && codec_->ResponseBegun(stream_);
}

void UpstreamConnection::AdvanceIdle() {
  if (worker_.upstream_users().Find(user_) != nullptr) {
    return;  // Acquired; the request is about to be forwarded.
  }
  if (!Silent()) {
    worker_.pool().Forget(*this);
    Close();
  }
}

// Bytes that nobody asked for must never answer the next request.
bool UpstreamConnection::Silent() {
  char byte = 0;
  size_t got = 0;
  return transport_->Read({&byte, 1}, got) == Transport::Io::kWouldBlock;
}

void UpstreamConnection::AdvanceBusy() {
  const uint64_t use = use_;
  if (UpstreamUser* user = worker_.upstream_users().Find(user_);
      user != nullptr && !transport_->Full()) {
    user->OnUpstreamDrained();
  }
  if (!held_.empty()) {
    const std::string held = std::exchange(held_, std::string());
    if (!Feed(held) || !held_.empty()) {
      return;
    }
  }
  size_t budget = worker_.limits().turn_bytes_max;
  while (state_ == State::kBusy && use_ == use && held_.empty() && transport_->MayRead()) {
    const std::span<char> scratch = worker_.io().plain_scratch();
    size_t got = 0;
    const Transport::Io io = transport_->Read(scratch, got);
    if (io == Transport::Io::kWouldBlock) {
      return;
    }
    if (io != Transport::Io::kOk) {
      return OnInputEnd(io == Transport::Io::kEnd ? http::ClientCodec::CloseKind::kClean
                                                  : http::ClientCodec::CloseKind::kCut);
    }
    if (!Feed({scratch.data(), got})) {
      return;
    }
    if (got >= budget) {
      worker_.metrics().Reached(Limit::kTurnBytes);
      worker_.loop().InTurn(turn_);
      return;
    }
    budget -= got;
  }
}

bool UpstreamConnection::Feed(std::string_view bytes) {
  while (true) {
    http::ClientEvent event;
    bytes.remove_prefix(codec_->Receive(bytes, event));
    if (event.kind == http::EventKind::kNeedMore) {
      return true;
    }
    if (event.kind == http::EventKind::kBlocked) {
      held_.assign(bytes);
      return true;
    }
    if (event.kind == http::EventKind::kError) {
      Fail(event.error == http::HttpError::kTruncated ? UpstreamFailure::kTruncated
                                                      : UpstreamFailure::kProtocol,
           http::HttpErrorName(event.error));
      return false;
    }
    if (!Tell(event)) {
      if (state_ == State::kIdle && !bytes.empty()) {
        worker_.pool().Forget(*this);
        Close();  // Bytes behind the response: unsolicited.
      }
      return false;
    }
  }
}

// Tell hands one event to the user; false if the use ended with it.
bool UpstreamConnection::Tell(http::ClientEvent& event) {
  UpstreamUser* user = worker_.upstream_users().Find(user_);
  if (user == nullptr) {
    Close();
    return false;
  }
  const uint64_t use = use_;
  user->OnResponse(event);
  return use == use_ && state_ == State::kBusy;
}

void UpstreamConnection::OnInputEnd(http::ClientCodec::CloseKind how) {
  http::ClientEvent event;
  codec_->ReceiveEnd(how, event);
  if (event.kind == http::EventKind::kEnd) {
    if (Tell(event)) {
      // A tunnel whose other direction still ran.
      Fail(UpstreamFailure::kTruncated, "ended in one direction");
    }
    return;
  }
  if (ResponseBegun()) {
    return Fail(UpstreamFailure::kTruncated, "connection ended within the response");
  }
  Fail(UpstreamFailure::kReset, "connection ended before a response");
}

bool UpstreamConnection::Fresh() const {
  if (worker_.stopping() || transport_->hung_up() || transport_->broken()) {
    return false;
  }
  if (!key_.peer.has_value()) {
    return true;
  }
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  return identity != nullptr && key_.svid_generation == identity->svid_generation() &&
         key_.bundle_generation == identity->bundle_generation() &&
         worker_.loop().wall_now() < retire_at_;
}

void UpstreamConnection::Release() {
  ++use_;
  user_ = {};
  // What was read up to a buffer's end may have more behind it, of which no event tells.
  const bool more = transport_->MayRead() && !Silent();
  if (more || !held_.empty() || !codec_->Reusable() || !Fresh()) {
    return Close();
  }
  state_ = State::kIdle;
  worker_.pool().Put(*this);
}

void UpstreamConnection::Abandon() {
  ++use_;
  user_ = {};
  if (state_ == State::kConnecting || state_ == State::kHandshaking) {
    return;  // It will serve somebody else, or end by its deadline.
  }
  Close();
}

void UpstreamConnection::Fail(UpstreamFailure failure, std::string_view cause) {
  worker_.metrics().upstream_failures[static_cast<size_t>(failure)].Add();
  UpstreamUser* user = worker_.upstream_users().Find(user_);
  const bool connecting = state_ == State::kConnecting || state_ == State::kHandshaking;
  Close();
  if (user == nullptr) {
    return;
  }
  if (connecting) {
    user->OnConnectFailed(failure, cause);
  } else {
    user->OnUpstreamLost(failure, cause);
  }
}

void UpstreamConnection::Cut(CutReason reason) {
  UpstreamUser* user = worker_.upstream_users().Find(user_);
  if (state_ == State::kIdle) {
    worker_.pool().Forget(*this);
  }
  worker_.metrics().cut[static_cast<size_t>(reason)].Add();
  Close();
  if (user != nullptr) {
    user->OnUpstreamCut(reason);
  }
}

void UpstreamConnection::Close() {
  if (state_ == State::kClosed) {
    return;
  }
  state_ = State::kClosed;
  ++use_;
  user_ = {};
  waiting_.reset();
  deadline_.Clear();
  expiry_.Clear();
  transport_->Close();
  worker_.Bury(*this);
}

void UpstreamConnection::Drain() {
  if (state_ == State::kIdle && worker_.upstream_users().Find(user_) == nullptr) {
    worker_.pool().Forget(*this);
    Close();
  }
}

void UpstreamConnection::OnDeadline(Deadline& which) {
  if (&which == &expiry_) {
    return Cut(CutReason::kSvidExpired);
  }
  switch (state_) {
    case State::kConnecting:
      worker_.metrics().Reached(Limit::kConnectDeadline);
      return Fail(UpstreamFailure::kConnect, "not connected in time");
    case State::kHandshaking:
      worker_.metrics().Reached(Limit::kHandshakeDeadline);
      return Fail(UpstreamFailure::kHandshake, "handshake not over in time");
    case State::kIdle:
      worker_.metrics().Reached(Limit::kPoolIdleDeadline);
      return Drain();
    case State::kBusy:
    case State::kClosed:
      return;
  }
}

void UpstreamConnection::Revise(const Change& change) {
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  if (state_ == State::kClosed || identity == nullptr) {
    return;
  }
  if (change.bundle && !transport_->tls()->VerifyAgain(identity->verifier())) {
    return Cut(CutReason::kBundleChanged);
  }
  if (!Fresh()) {
    Drain();
  }
}

}  // namespace countersign::proxy
