#include "proxy_agent/tls_callbacks.h"

#include <openssl/bio.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstring>

namespace countersign::proxy {
namespace {

std::string ToDer(const X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  if (size <= 0) {
    return {};
  }
  std::string der(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

}  // namespace

TlsEngine& TlsCallbacks::EngineOf(const SSL* ssl) {
  return *static_cast<TlsEngine*>(SSL_get_app_data(ssl));
}

void TlsCallbacks::Install(SSL_CTX* context, const TlsContext& owner) {
  void* arg = const_cast<TlsContext*>(&owner);  // OpenSSL hands it back; we read it as const.
  SSL_CTX_set_cert_verify_callback(context, &Verify, arg);
  SSL_CTX_set_msg_callback(context, &OnMessage);
  if (owner.options().role == TlsRole::kServer) {
    SSL_CTX_set_alpn_select_cb(context, &SelectAlpn, arg);
  }
}

void TlsCallbacks::Attach(SSL* ssl, TlsEngine& engine) {
  SSL_set_app_data(ssl, &engine);
  BIO* bio = BIO_new(Method());
  CHECK(bio != nullptr);
  BIO_set_data(bio, &engine);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
}

std::vector<std::string> TlsCallbacks::PresentedChain(X509* leaf, const STACK_OF(X509) * chain) {
  std::vector<std::string> der;
  der.push_back(ToDer(leaf));
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const X509* certificate = sk_X509_value(chain, i);
    if (certificate != leaf && !(i == 0 && X509_cmp(certificate, leaf) == 0)) {
      der.push_back(ToDer(certificate));
    }
  }
  return der;
}

// The peer is decided here, before a client sends its own certificate and before either side sends
// application data: there is no window in which a wrong peer is spoken to.
int TlsCallbacks::Verify(X509_STORE_CTX* store, void* context) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsEngine& engine = EngineOf(ssl);
  const auto& owner = *static_cast<const TlsContext*>(context);
  const identity::PeerRole role = owner.options().role == TlsRole::kServer
                                      ? identity::PeerRole::kClient
                                      : identity::PeerRole::kServer;
  identity::VerifyResult result = owner.verifier().VerifyNative(
      X509_STORE_CTX_get0_untrusted(store), role, engine.clock_.Now());
  if (!result.ok()) {
    engine.failure_ = TlsFailure::kPeerRefused;
    engine.verify_error_ = result.error();
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
  }
  if (engine.expected_peer_.has_value() && result.peer().id() != *engine.expected_peer_) {
    engine.failure_ = TlsFailure::kWrongPeer;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  engine.peer_ = result.peer();
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

int TlsCallbacks::SelectAlpn(SSL* ssl, const unsigned char** out, unsigned char* out_bytes,
                             const unsigned char* offered, unsigned int offered_bytes,
                             void* context) {
  const std::string& ours = static_cast<const TlsContext*>(context)->alpn_wire();
  unsigned char* selected = nullptr;
  const int found = SSL_select_next_proto(
      &selected, out_bytes, reinterpret_cast<const unsigned char*>(ours.data()),
      static_cast<unsigned>(ours.size()), offered, offered_bytes);
  if (found != OPENSSL_NPN_NEGOTIATED) {
    // RFC 7301 section 3.2: "In the event that the server supports no protocols that the client
    // advertises, then the server SHALL respond with a fatal "no_application_protocol" alert."
    EngineOf(ssl).failure_ = TlsFailure::kAlpn;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

// Counts the peer's requests for new keys and its tickets; each costs us a key derivation, and the
// answer to it or its place in memory.
void TlsCallbacks::OnMessage(int write, int /*version*/, int content_type, const void* bytes,
                             size_t size, SSL* ssl, void* /*arg*/) {
  if (write != 0 || content_type != SSL3_RT_HANDSHAKE || size == 0) {
    return;
  }
  const unsigned char type = *static_cast<const unsigned char*>(bytes);
  if (type == SSL3_MT_KEY_UPDATE || type == SSL3_MT_NEWSESSION_TICKET) {
    TlsEngine& engine = EngineOf(ssl);
    if (++engine.key_updates_ > engine.key_updates_max_) {
      engine.failure_ = TlsFailure::kKeyUpdates;
    }
  }
}

int TlsCallbacks::BioRead(BIO* bio, char* into, size_t bytes, size_t* got) {
  BIO_clear_retry_flags(bio);
  std::string_view& input = static_cast<TlsEngine*>(BIO_get_data(bio))->input_;
  if (input.empty()) {
    BIO_set_retry_read(bio);
    *got = 0;
    return 0;
  }
  *got = std::min(bytes, input.size());
  std::memcpy(into, input.data(), *got);
  input.remove_prefix(*got);
  return 1;
}

int TlsCallbacks::BioWrite(BIO* bio, const char* from, size_t bytes, size_t* written) {
  BIO_clear_retry_flags(bio);
  static_cast<TlsEngine*>(BIO_get_data(bio))->out_.Append({from, bytes});
  *written = bytes;
  return 1;
}

long TlsCallbacks::BioControl(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  // OpenSSL flushes after a flight; everything else it may ask has no meaning here.
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* TlsCallbacks::Method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "countersign");
    CHECK(method != nullptr);
    BIO_meth_set_read_ex(method, &BioRead);
    BIO_meth_set_write_ex(method, &BioWrite);
    BIO_meth_set_ctrl(method, &TlsCallbacks::BioControl);
    return method;
  }();
  return kMethod;
}

}  // namespace countersign::proxy
