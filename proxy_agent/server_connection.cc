#include "proxy_agent/server_connection.h"

#include "proxy_agent/http/forward_edits.h"
#include "proxy_agent/lifetime.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {

ServerConnection::ServerConnection(Worker& worker, Origin origin,
                                   std::unique_ptr<Transport> transport, PeerPlaces::Place place)
    : worker_(worker),
      origin_(std::move(origin)),
      place_(std::move(place)),
      transport_(std::move(transport)),
      codec_(http::MakeHttp1ServerCodec(worker.http_limits(), worker.heads(),
                                        http::UnderscoreNames::kRefuse)),
      turn_(*this),
      deadline_(worker.loop().timers(), *this),
      expiry_(worker.loop().timers(), *this),
      registered_(worker.registry().Add(*this)) {
  transport_->set_owner(this);
  worker_.metrics().connections[static_cast<size_t>(door().direction)].Add(1);
  worker_.metrics().connections_opened[static_cast<size_t>(door().direction)].Add();
  if (const identity::VerifiedPeer* verified = peer()) {
    forwarded_client_cert_ = http::ForwardedClientCert(
        door().workload.str(), verified->chain_sha256(), verified->id().str());
  }
  if (transport_->tls() != nullptr) {
    const WallTime own_end = worker_.snapshot().identity->svid().not_after();
    const WallTime now = worker_.loop().wall_now();
    const Lifetime lifetime =
        Lifetime::Of(now, own_end, peer() != nullptr ? peer()->not_after() : own_end);
    expiry_.Set(worker_.loop().now() + (lifetime.drain_at - now));
    cut_at_ = worker_.loop().now() + (lifetime.cut_at - now);
  }
}

ServerConnection::~ServerConnection() {
  worker_.registry().Remove(registered_);
  worker_.metrics().connections[static_cast<size_t>(door().direction)].Add(-1);
}

const identity::VerifiedPeer* ServerConnection::peer() const {
  const TlsEngine* tls = std::as_const(*transport_).tls();
  return tls != nullptr && tls->peer().has_value() ? &*tls->peer() : nullptr;
}

std::string_view ServerConnection::sni() const {
  const TlsEngine* tls = std::as_const(*transport_).tls();
  return tls != nullptr ? tls->sni() : std::string_view();
}

void ServerConnection::Advance() {
  if (exchange_ != nullptr && exchange_->done()) {
    EndExchange();
  }
  if (state_ == State::kOpen) {
    AdvanceOpen();
  }
  if (state_ == State::kLingering) {
    AdvanceLingering();
  }
}

void ServerConnection::AdvanceOpen() {
  if (transport_->broken()) {
    return Cut(CutReason::kCallerGone);
  }
  if (codec_->Closing()) {
    return Linger();
  }
  if (exchange_ != nullptr && !transport_->Full()) {
    exchange_->OnCallerDrained();
  }
  if (!held_.empty() && !Crammed()) {
    const std::string held = std::exchange(held_, std::string());
    if (!Feed(held)) {
      return;
    }
  }
  size_t budget = worker_.limits().turn_bytes_max;
  while (state_ == State::kOpen && held_.empty() && !input_ended_ && !Crammed() &&
         transport_->MayRead()) {
    const std::span<char> scratch = worker_.io().plain_scratch();
    size_t got = 0;
    const Transport::Io io = transport_->Read(scratch, got);
    if (io == Transport::Io::kWouldBlock) {
      break;
    }
    if (io != Transport::Io::kOk) {
      OnInputEnd(io);
      break;
    }
    if (!Feed({scratch.data(), got})) {
      break;
    }
    if (got >= budget) {
      worker_.metrics().Reached(Limit::kTurnBytes);
      worker_.loop().InTurn(turn_);
      break;
    }
    budget -= got;
  }
  if (state_ == State::kOpen) {
    SetDeadline();
  }
}

bool ServerConnection::Feed(std::string_view bytes) {
  while (state_ == State::kOpen) {
    if (Crammed()) {
      held_.assign(bytes);
      return true;
    }
    http::ServerEvent event;
    bytes.remove_prefix(codec_->Receive(bytes, event));
    if (event.kind == http::EventKind::kNeedMore) {
      return true;
    }
    if (event.kind == http::EventKind::kBlocked) {
      held_.assign(bytes);
      return true;
    }
    if (!Tell(event)) {
      return false;
    }
  }
  return false;
}

// Tell hands one event on; false if the connection is over.
bool ServerConnection::Tell(http::ServerEvent& event) {
  switch (event.kind) {
    case http::EventKind::kHead:
      BeginExchange(event);
      break;
    case http::EventKind::kBody:
      if (exchange_ != nullptr) {
        exchange_->OnRequestBody(event.data);
      }
      break;
    case http::EventKind::kEnd:
      if (exchange_ != nullptr) {
        exchange_->OnRequestEnd();
      }
      break;
    case http::EventKind::kError:
      RefuseMalformed(event.error);
      return false;
    default:
      break;
  }
  if (exchange_ != nullptr && exchange_->done()) {
    EndExchange();
  }
  if (codec_->Closing()) {
    Linger();
    return false;
  }
  return true;
}

void ServerConnection::BeginExchange(http::ServerEvent& event) {
  in_head_ = false;
  asked_ = true;
  deadline_.Clear();
  if (const std::shared_ptr<const Door> current = worker_.CurrentDoorOf(origin_)) {
    origin_.door = current;
  }
  exchange_ = worker_.TakeExchange();
  exchange_->Begin(*this, event.stream, std::move(event.head), event.end);
}

void ServerConnection::EndExchange() {
  worker_.GiveExchange(std::move(exchange_));
  exchange_.reset();
  // A policy that closes the door for the whole connection, a drain that waited: the codec knows.
  if (worker_.stopping()) {
    codec_->Drain(*this);
  }
}

void ServerConnection::RefuseMalformed(http::HttpError error) {
  worker_.metrics().http_errors[static_cast<size_t>(error)].Add();
  const std::string caller = PeerName(origin_, peer());
  if (worker_.request_log().May(caller, worker_.loop().now())) {
    worker_.request_log().Write("request refused", {{"reason", http::HttpErrorName(error)},
                                                    {"caller", caller},
                                                    {"service", door().service},
                                                    {"port", door().name},
                                                    {"status", http::StatusOf(error)}});
  }
  if (codec_->MayRefuse()) {
    // Also while an exchange waits for its upstream: it is cut off, the client learns why.
    codec_->SendError(http::StatusOf(error), {}, {}, *this);
    if (exchange_ != nullptr) {
      exchange_->Refused(http::StatusOf(error));
    }
    return Linger();
  }
  Cut(CutReason::kCallerGone);
}

void ServerConnection::OnInputEnd(Transport::Io how) {
  if (how == Transport::Io::kCut) {
    return Cut(CutReason::kCallerGone);
  }
  input_ended_ = true;
  http::ServerEvent event;
  codec_->ReceiveEnd(event);
  if (event.kind == http::EventKind::kError) {
    return Cut(CutReason::kCallerGone);
  }
  if (event.kind == http::EventKind::kEnd && exchange_ != nullptr) {
    exchange_->OnRequestEnd();
  }
  if (exchange_ == nullptr || codec_->Closing()) {
    Linger();
  }
}

void ServerConnection::SetDeadline() {
  if (exchange_ != nullptr) {
    in_head_ = false;
    deadline_.Clear();
    return;
  }
  if (codec_->InHead()) {
    if (!in_head_) {
      in_head_ = true;  // The whole head has one deadline, however it dribbles in.
      deadline_.Set(worker_.loop().now() + worker_.limits().head_deadline);
    }
    return;
  }
  if (!deadline_.set()) {
    const ProxyLimits& limits = worker_.limits();
    deadline_.Set(worker_.loop().now() + (Unknown() ? limits.head_deadline : limits.idle_deadline));
  }
}

bool ServerConnection::Unknown() const {
  return peer() == nullptr && !origin_.local.has_value() &&
         (!asked_ || door().tls == authz::PortTls::kMesh);
}

void ServerConnection::OnDeadline(Deadline& which) {
  if (&which == &expiry_) {
    if (worker_.loop().now() >= cut_at_) {
      return Cut(CutReason::kSvidExpired);
    }
    expiry_.Set(cut_at_);
    return Drain();
  }
  if (state_ == State::kLingering) {
    worker_.metrics().Reached(Limit::kLingerDeadline);
    return Close();
  }
  if (in_head_) {
    worker_.metrics().Reached(Limit::kHeadDeadline);
    return RefuseMalformed(http::HttpError::kHeadTimeout);
  }
  worker_.metrics().Reached(Unknown() ? Limit::kHeadDeadline : Limit::kIdleDeadline);
  worker_.metrics().cut[static_cast<size_t>(CutReason::kIdle)].Add();
  Linger();
}

void ServerConnection::Revise(const Change& change) {
  if (state_ == State::kClosed) {
    return;
  }
  const Snapshot& snapshot = worker_.snapshot();
  if (snapshot.identity == nullptr || snapshot.identity->svid().id() != door().workload) {
    return Cut(CutReason::kIdentityChanged);
  }
  if (worker_.CurrentDoor(origin_, door()) == nullptr) {
    return Cut(CutReason::kPolicyChanged);  // The new configuration has no such door.
  }
  if (change.bundle && transport_->tls() != nullptr &&
      !transport_->tls()->VerifyAgain(snapshot.identity->verifier())) {
    Cut(CutReason::kBundleChanged);
  }
}

void ServerConnection::Drain() {
  if (state_ != State::kOpen) {
    return;
  }
  // Nothing of the peer's is under way on an idle connection, and nothing of ours can be lost.
  waits_for_peer_ = !codec_->Idle();
  codec_->Drain(*this);
  if (codec_->Closing()) {
    Linger();
  }
}

void ServerConnection::Cut(CutReason reason) {
  if (state_ == State::kClosed) {
    return;
  }
  if (exchange_ != nullptr && !exchange_->done()) {
    exchange_->Cut(reason);
  } else if (reason != CutReason::kCallerGone) {
    worker_.metrics().cut[static_cast<size_t>(reason)].Add();
  }
  Close();
}

// Linger sends what is left, ends our direction and waits a little for the peer to end its own:
// closing with unread bytes would reset the connection and destroy the last response.
void ServerConnection::Linger() {
  if (state_ != State::kOpen) {
    return;
  }
  if (exchange_ != nullptr && !exchange_->done()) {
    exchange_->Cut(CutReason::kCallerGone);
  }
  state_ = State::kLingering;
  held_ = std::string();
  transport_->FinishWrites();
  deadline_.Set(worker_.loop().now() + worker_.limits().linger_deadline);
  worker_.loop().InTurn(turn_);
}

void ServerConnection::AdvanceLingering() {
  if (transport_->broken() || (!waits_for_peer_ && transport_->writes_finished())) {
    return Close();
  }
  for (size_t dropped = 0; dropped < worker_.limits().turn_bytes_max;) {
    const std::span<char> scratch = worker_.io().plain_scratch();
    size_t got = 0;
    const Transport::Io io = transport_->Read(scratch, got);
    if (io == Transport::Io::kWouldBlock) {
      return;
    }
    if (io != Transport::Io::kOk) {
      input_ended_ = true;
      if (transport_->writes_finished() || io == Transport::Io::kCut) {
        Close();
      }
      return;
    }
    dropped += got;
  }
  worker_.loop().InTurn(turn_);  // The others come first, and the deadline.
}

void ServerConnection::Close() {
  if (state_ == State::kClosed) {
    return;
  }
  state_ = State::kClosed;
  deadline_.Clear();
  expiry_.Clear();
  transport_->Close();
  worker_.Bury(*this);
}

void ServerConnection::SendInterim(http::StreamId stream, const http::OutgoingResponse& response) {
  codec_->SendInterim(stream, response, *this);
}

void ServerConnection::SendHead(http::StreamId stream, const http::OutgoingResponse& response,
                                http::End end) {
  codec_->SendHead(stream, response, end, *this);
}

void ServerConnection::SendWhole(http::StreamId stream, const http::OutgoingResponse& response,
                                 std::string_view body) {
  if (codec_->BodyPending(stream)) {
    return codec_->SendError(response.status, response.headers, body, *this);
  }
  codec_->SendHead(stream, response, http::End::kNo, *this);
  codec_->SendBody(stream, body, *this);
  codec_->SendEnd(stream, {}, *this);
}

void ServerConnection::SendBody(http::StreamId stream, std::string_view data) {
  codec_->SendBody(stream, data, *this);
}

void ServerConnection::SendEnd(http::StreamId stream, std::span<const http::Header> trailers) {
  codec_->SendEnd(stream, trailers, *this);
}

void ServerConnection::Credit(http::StreamId stream, size_t bytes) {
  codec_->Credit(stream, bytes);
  if (!held_.empty()) {
    worker_.loop().InTurn(turn_);
  }
}

void ServerConnection::Finished(http::StreamId /*stream*/) {
  // Not here: the exchange is still running its last lines.
  worker_.loop().InTurn(turn_);
}

void ServerConnection::Broken(http::StreamId stream) {
  codec_->Abort(stream, *this);
  worker_.loop().InTurn(turn_);
}

}  // namespace countersign::proxy
