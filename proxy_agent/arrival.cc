#include "proxy_agent/arrival.h"

#include "proxy_agent/server_connection.h"
#include "proxy_agent/tunnel.h"
#include "proxy_agent/worker.h"

namespace countersign::proxy {
namespace {

// RFC 8446 section 5.1: a handshake record begins with 22.
constexpr char kTlsHandshakeRecord = 22;
// A plaintext client of a server-speaks-first protocol says nothing; TLS clients speak at once.
constexpr std::chrono::milliseconds kPeekDeadline{500};
// For a refused peer to read its alert.
constexpr std::chrono::milliseconds kEndingDeadline{1000};

}  // namespace

Arrival::Arrival(Worker& worker, Origin origin, Fd socket)
    : worker_(worker),
      origin_(std::move(origin)),
      transport_(
          std::make_unique<Transport>(worker.io(), std::move(socket), Transport::Connected::kYes)),
      deadline_(worker.loop().timers(), *this),
      began_(worker.loop().now()),
      counted_(origin_.peer.ip()) {
  worker_.metrics().half_open.Add(1);
}

Arrival::~Arrival() {
  if (counted_.has_value()) {
    worker_.half_open().Leave(*counted_);
  }
  worker_.metrics().half_open.Add(-1);
}

void Arrival::Begin() {
  transport_->set_owner(this);
  if (!transport_->Start().ok()) {
    return Close();
  }
  deadline_.Set(worker_.loop().now() +
                (MayBePlain() ? kPeekDeadline : worker_.limits().handshake_deadline));
  if (!MayBePlain()) {
    StartTls();
  }
  Advance();
}

// Plaintext is let in where the port says so, and for health probes, which pass no further than
// their exemption.
bool Arrival::MayBePlain() const {
  return origin_.door->tls == authz::PortTls::kPermissive || !origin_.door->probes.empty();
}

void Arrival::Advance() {
  if (state_ == State::kPeek) {
    AdvancePeek();
  }
  if (state_ == State::kHandshake) {
    AdvanceHandshake();
  }
  if (state_ == State::kEnding) {
    AdvanceEnding();
  }
}

void Arrival::AdvancePeek() {
  char first = 0;
  const Transport::Io io = transport_->Peek(first);
  if (io == Transport::Io::kWouldBlock) {
    return;
  }
  if (io != Transport::Io::kOk) {
    return Close();
  }
  if (first == kTlsHandshakeRecord) {
    deadline_.Set(worker_.loop().now() + worker_.limits().handshake_deadline);
    return StartTls();
  }
  worker_.metrics().permissive_plaintext.Add();
  Become();
}

void Arrival::StartTls() {
  const std::shared_ptr<const OwnIdentity>& identity = worker_.snapshot().identity;
  if (identity == nullptr) {
    return Close();
  }
  const bool http = origin_.door->protocol == authz::PortProtocol::kHttp;
  const bool insists = origin_.door->tls == authz::PortTls::kMesh;
  const std::shared_ptr<const TlsContext>& context =
      insists ? (http ? identity->server_http() : identity->server_tcp())
              : (http ? identity->edge_http() : identity->edge_tcp());
  transport_->StartTls(context, std::nullopt);
  state_ = State::kHandshake;
}

void Arrival::AdvanceHandshake() {
  const Transport::Io io = transport_->Handshake();
  if (io == Transport::Io::kWouldBlock) {
    return;
  }
  WorkerMetrics& metrics = worker_.metrics();
  const TlsEngine& tls = *transport_->tls();
  if (io != Transport::Io::kOk) {
    return NotAdmitted(tls.failure());
  }
  if (!tls.StillTrusted(worker_.snapshot().identity->verifier())) {
    return NotAdmitted(TlsFailure::kPeerRefused);
  }
  metrics.handshakes.Add();
  metrics.handshake_latency.Observe(static_cast<uint64_t>((worker_.loop().now() - began_).count()) /
                                    1000);
  Become();
}

void Arrival::NotAdmitted(TlsFailure why) {
  const std::optional<identity::VerifyError> rule = transport_->tls()->verify_error();
  // Who only looks whether the port is open, as probes do, hangs up without a fault: counted alone.
  const bool hung_up = why == TlsFailure::kNone;
  const std::string from = PeerName(origin_, nullptr);
  if (!hung_up && worker_.request_log().May(from, worker_.loop().now())) {
    worker_.request_log().Write(
        "TLS handshake refused",
        {{"reason", TlsFailureName(why)},
         {"rule", rule.has_value() ? identity::VerifyErrorName(*rule) : std::string_view("none")},
         {"caller", from},
         {"service", origin_.door->service},
         {"port", origin_.door->name}});
  }
  WorkerMetrics& metrics = worker_.metrics();
  metrics.handshake_failures[static_cast<size_t>(hung_up ? TlsFailure::kProtocol : why)].Add();
  if (rule.has_value()) {
    metrics.verify_failures[static_cast<size_t>(*rule)].Add();
  }
  Refuse();
}

void Arrival::Become() {
  const TlsEngine* tls = std::as_const(*transport_).tls();
  const std::string name =
      PeerName(origin_, tls != nullptr && tls->peer().has_value() ? &*tls->peer() : nullptr);
  std::optional<PeerPlaces::Place> place = worker_.peer_places().Take(name);
  if (!place.has_value()) {
    worker_.CloseOverLimit(Limit::kConnectionsPerPeer, name, *origin_.door);
    return Refuse();
  }
  state_ = State::kClosed;
  Enter(worker_, std::move(origin_), std::move(transport_), *std::move(place));
  worker_.Bury(*this);
}

// The alert says why; a close with unread bytes would reset the connection before it is read.
void Arrival::Refuse() {
  state_ = State::kEnding;
  deadline_.Set(worker_.loop().now() + kEndingDeadline);
  transport_->FinishWrites();
}

void Arrival::AdvanceEnding() {
  if (transport_->broken() || transport_->Drop() != Transport::Io::kWouldBlock) {
    Close();
  }
}

void Arrival::Enter(Worker& worker, Origin origin, std::unique_ptr<Transport> transport,
                    PeerPlaces::Place place) {
  if (origin.door->protocol == authz::PortProtocol::kHttp) {
    worker
        .Own(std::make_unique<ServerConnection>(worker, std::move(origin), std::move(transport),
                                                std::move(place)))
        .Begin();
  } else {
    worker
        .Own(std::make_unique<Tunnel>(worker, std::move(origin), std::move(transport),
                                      std::move(place)))
        .Begin();
  }
}

void Arrival::AdoptLocal(Worker& worker, Origin origin, Fd socket) {
  const std::string name = PeerName(origin, nullptr);
  std::optional<PeerPlaces::Place> place = worker.peer_places().Take(name);
  if (!place.has_value()) {
    return worker.CloseOverLimit(Limit::kConnectionsPerPeer, name, *origin.door);
  }
  auto transport =
      std::make_unique<Transport>(worker.io(), std::move(socket), Transport::Connected::kYes);
  // The protocol takes the events over before the first one can come.
  if (transport->Start().ok()) {
    Enter(worker, std::move(origin), std::move(transport), *std::move(place));
  }
}

void Arrival::OnDeadline(Deadline& /*which*/) {
  const bool silent_plain = state_ == State::kPeek &&
                            origin_.door->tls == authz::PortTls::kPermissive &&
                            origin_.door->protocol == authz::PortProtocol::kTcp;
  if (silent_plain) {
    worker_.metrics().permissive_plaintext.Add();
    return Become();
  }
  if (state_ == State::kPeek &&
      began_ + worker_.limits().handshake_deadline > worker_.loop().now()) {
    deadline_.Set(began_ + worker_.limits().handshake_deadline);
    return;
  }
  if (state_ != State::kEnding) {
    worker_.metrics().Reached(Limit::kHandshakeDeadline);
  }
  Close();
}

void Arrival::Close() {
  if (state_ != State::kClosed) {
    state_ = State::kClosed;
    transport_->Close();
    worker_.Bury(*this);
  }
}

}  // namespace countersign::proxy
