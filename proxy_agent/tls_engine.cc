#include "proxy_agent/tls_engine.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "authz/engine/canonical.h"
#include "proxy_agent/tls_callbacks.h"

namespace countersign::proxy {

std::string_view TlsFailureName(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kProtocol:
      return "protocol";
    case TlsFailure::kNoCertificate:
      return "no_certificate";
    case TlsFailure::kPeerRefused:
      return "peer_refused";
    case TlsFailure::kWrongPeer:
      return "wrong_peer";
    case TlsFailure::kAlpn:
      return "alpn";
    case TlsFailure::kAlert:
      return "alert";
    case TlsFailure::kKeyUpdates:
      return "key_updates";
  }
  return "protocol";
}

TlsEngine::TlsEngine(std::shared_ptr<const TlsContext> context, const Clock& clock, BlockChain& out,
                     std::optional<identity::SpiffeId> expected_peer, uint32_t key_updates_max)
    : context_(std::move(context)),
      clock_(clock),
      out_(out),
      expected_peer_(std::move(expected_peer)),
      ssl_(SSL_new(context_->handle())),
      key_updates_max_(key_updates_max) {
  CHECK(ssl_ != nullptr);  // Out of memory.
  TlsCallbacks::Attach(ssl_, *this);
  if (context_->options().role == TlsRole::kServer) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
}

TlsEngine::~TlsEngine() { SSL_free(ssl_); }

void TlsEngine::Feed(std::string_view bytes) {
  if (input_.empty()) {
    kept_.clear();
    input_ = bytes;
    return;
  }
  kept_.erase(0, kept_.size() - input_.size());  // Between calls input_ is the end of kept_.
  kept_.append(bytes);
  input_ = kept_;
}

void TlsEngine::Settle() {
  const bool is_kept = !kept_.empty() && input_.data() >= kept_.data() &&
                       input_.data() <= kept_.data() + kept_.size();
  if (input_.empty()) {
    if (kept_.capacity() > 0) {
      kept_ = std::string();  // An idle connection keeps nothing.
    }
    input_ = {};
  } else if (!is_kept) {
    kept_.assign(input_);
    input_ = kept_;
  }
}

TlsEngine::Io TlsEngine::Handshake() {
  if (established_) {
    return Io::kOk;
  }
  if (failure_ != TlsFailure::kNone) {
    return Io::kFailed;
  }
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) {
    return Fail(SSL_get_error(ssl_, result));
  }
  // A server that insists on a certificate has a verified peer; a client always has one.
  const bool needs_peer = context_->options().role == TlsRole::kClient ||
                          context_->options().client_certificate == ClientCertificate::kRequired;
  if (needs_peer && !peer_.has_value()) {
    failure_ = TlsFailure::kNoCertificate;
    return Io::kFailed;
  }
  if (const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name)) {
    sni_ = authz::CanonicalSni(name);
  }
  established_ = true;
  return Io::kOk;
}

TlsEngine::Io TlsEngine::Read(std::span<char> into, size_t& got) {
  got = 0;
  wants_input_ = false;
  if (failure_ != TlsFailure::kNone) {
    return Io::kFailed;
  }
  while (got < into.size()) {
    ERR_clear_error();
    size_t part = 0;
    const int result = SSL_read_ex(ssl_, into.data() + got, into.size() - got, &part);
    if (failure_ != TlsFailure::kNone) {  // The key update budget.
      return Io::kFailed;
    }
    if (result != 1) {
      const Io io = Fail(SSL_get_error(ssl_, result));
      wants_input_ = io == Io::kWantInput;
      // What was read before comes first; the next call tells the rest.
      return got > 0 && io != Io::kFailed ? Io::kOk : io;
    }
    got += part;
  }
  return Io::kOk;
}

bool TlsEngine::Write(std::string_view plain) {
  while (!plain.empty()) {
    if (failure_ != TlsFailure::kNone) {
      return false;
    }
    ERR_clear_error();
    size_t written = 0;
    const int result = SSL_write_ex(ssl_, plain.data(), plain.size(), &written);
    if (result != 1) {
      Fail(SSL_get_error(ssl_, result));
      if (failure_ == TlsFailure::kNone) {
        failure_ = TlsFailure::kProtocol;  // Our BIO takes everything; nothing to wait for.
      }
      return false;
    }
    plain.remove_prefix(written);
  }
  return true;
}

void TlsEngine::SendCloseNotify() {
  if (established_ && failure_ == TlsFailure::kNone && !close_notify_sent_) {
    close_notify_sent_ = true;  // A second SSL_shutdown would read.
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
}

std::string_view TlsEngine::alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool TlsEngine::VerifyAgain(const identity::PeerVerifier& verifier) const {
  X509* leaf = SSL_get0_peer_certificate(ssl_);
  if (leaf == nullptr) {
    return !peer_.has_value();
  }
  const std::vector<std::string> der =
      TlsCallbacks::PresentedChain(leaf, SSL_get_peer_cert_chain(ssl_));
  const std::vector<std::string_view> views(der.begin(), der.end());
  const identity::PeerRole role = context_->options().role == TlsRole::kServer
                                      ? identity::PeerRole::kClient
                                      : identity::PeerRole::kServer;
  return verifier.Verify(views, role, clock_.Now()).ok();
}

bool TlsEngine::StillTrusted(const identity::PeerVerifier& verifier) const {
  return &context_->verifier() == &verifier || VerifyAgain(verifier);
}

TlsEngine::Io TlsEngine::Fail(int ssl_error) {
  switch (ssl_error) {
    case SSL_ERROR_WANT_READ:
      return Io::kWantInput;
    case SSL_ERROR_ZERO_RETURN:
      return Io::kClosed;
    default:
      if (failure_ == TlsFailure::kNone) {
        failure_ = Classify();
      }
      ERR_clear_error();
      return Io::kFailed;
  }
}

TlsFailure TlsEngine::Classify() const {
  const unsigned long error = ERR_peek_error();
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
    return TlsFailure::kProtocol;
  }
  const int reason = ERR_GET_REASON(error);
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
    return TlsFailure::kNoCertificate;
  }
  if (reason >= SSL_AD_REASON_OFFSET) {
    return TlsFailure::kAlert;
  }
  return TlsFailure::kProtocol;
}

}  // namespace countersign::proxy
