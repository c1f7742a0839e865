// VerifyInHandshake judges what a TLS handshake received, inside SSL_CTX_set_cert_verify_callback.
//
// For the proxy's TLS files alone; everybody else uses PeerVerifier::Verify with DER.
#pragma once

#include "base/crypto/openssl.h"
#include "identity/peer_verifier.h"

namespace countersign::identity {

// VerifyInHandshake takes the callback's own context; no path building of OpenSSL's has run before.
VerifyResult VerifyInHandshake(const PeerVerifier& verifier, X509_STORE_CTX* context, PeerRole role,
                               WallTime now);

}  // namespace countersign::identity
