#include "proxy_agent/tls_context.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/crypto/openssl.h"
#include "proxy_agent/tls_callbacks.h"

namespace countersign::proxy {
namespace {

using X509Handle = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using KeyInfoHandle = std::unique_ptr<PKCS8_PRIV_KEY_INFO, Deleter<PKCS8_PRIV_KEY_INFO_free>>;

StatusOr<X509Handle> ParseCertificate(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  X509Handle certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr) {
    return OpenSslError("parse a certificate of the SVID");
  }
  return certificate;
}

StatusOr<KeyHandle> ParseKey(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  KeyInfoHandle info(d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  KeyHandle key(info == nullptr ? nullptr : EVP_PKCS82PKEY(info.get()));
  if (key == nullptr) {
    return OpenSslError("parse the private key of the SVID");
  }
  return key;
}

std::string AlpnWire(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    CHECK(!protocol.empty() && protocol.size() <= 255);
    wire.push_back(static_cast<char>(protocol.size()));
    wire.append(protocol);
  }
  return wire;
}

Status ConfigureProtocol(SSL_CTX* context) {
  if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context,
                               "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                               "TLS_CHACHA20_POLY1305_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(context, "X25519:P-256") != 1 ||
      SSL_CTX_set1_sigalgs_list(context,
                                "ECDSA+SHA256:ECDSA+SHA384:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:"
                                "RSA-PSS+SHA512") != 1) {
    return OpenSslError("configure TLS 1.3");
  }
  // A resumed session would carry an identity that nobody verified again.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // One BIO read takes all that was received: records are cut out of OpenSSL's own buffer.
  SSL_CTX_set_read_ahead(context, 1);
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(
    const identity::X509Svid& svid, std::shared_ptr<const identity::PeerVerifier> verifier,
    Options options) {
  ERR_clear_error();
  SSL_CTX* handle =
      SSL_CTX_new(options.role == TlsRole::kServer ? TLS_server_method() : TLS_client_method());
  if (handle == nullptr) {
    return OpenSslError("make a TLS context");
  }
  std::shared_ptr<TlsContext> made(new TlsContext(handle, std::move(verifier), std::move(options)));
  RETURN_IF_ERROR(ConfigureProtocol(handle));
  RETURN_IF_ERROR(made->UseSvid(svid));
  int mode = SSL_VERIFY_PEER;
  if (made->options_.role == TlsRole::kServer &&
      made->options_.client_certificate == ClientCertificate::kRequired) {
    mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  SSL_CTX_set_verify(handle, mode, nullptr);
  const std::string& wire = made->alpn_wire_;
  if (made->options_.role == TlsRole::kClient && !wire.empty() &&
      SSL_CTX_set_alpn_protos(handle, reinterpret_cast<const unsigned char*>(wire.data()),
                              static_cast<unsigned>(wire.size())) != 0) {
    return OpenSslError("offer application protocols");
  }
  TlsCallbacks::Install(handle, *made);
  return std::shared_ptr<const TlsContext>(std::move(made));
}

TlsContext::TlsContext(ssl_ctx_st* handle, std::shared_ptr<const identity::PeerVerifier> verifier,
                       Options options)
    : handle_(handle),
      verifier_(std::move(verifier)),
      options_(std::move(options)),
      alpn_wire_(AlpnWire(options_.alpn)) {}

TlsContext::~TlsContext() { SSL_CTX_free(handle_); }

Status TlsContext::UseSvid(const identity::X509Svid& svid) {
  ASSIGN_OR_RETURN(KeyHandle key, ParseKey(svid.key_pkcs8_der()));
  for (size_t i = 0; i < svid.chain_der().size(); ++i) {
    ASSIGN_OR_RETURN(X509Handle certificate, ParseCertificate(svid.chain_der()[i]));
    const int used = i == 0 ? SSL_CTX_use_certificate(handle_, certificate.get())
                            : static_cast<int>(SSL_CTX_add1_chain_cert(handle_, certificate.get()));
    if (used != 1) {
      return OpenSslError("use a certificate of the SVID");
    }
  }
  if (SSL_CTX_use_PrivateKey(handle_, key.get()) != 1 || SSL_CTX_check_private_key(handle_) != 1) {
    return OpenSslError("use the private key of the SVID");
  }
  return absl::OkStatus();
}

}  // namespace countersign::proxy
