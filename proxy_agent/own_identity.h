// OwnIdentity: the SVID that the proxy speaks with and the bundles it verifies with, ready for use.
#pragma once

#include <memory>

#include "identity/peer_verifier.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"
#include "proxy_agent/tls_context.h"

namespace countersign::proxy {

// OwnIdentity is immutable and shared by all workers. A new SVID or bundle makes a new one;
// handshakes that have begun end with the one they began with.
class OwnIdentity {
 public:
  // Create raises the generation of what differs, by value, from `before` (null: the first).
  static StatusOr<std::shared_ptr<const OwnIdentity>> Create(
      std::shared_ptr<const identity::X509Svid> svid,
      std::shared_ptr<const identity::BundleSet> bundles, const OwnIdentity* before);

  const identity::X509Svid& svid() const { return *svid_; }
  const std::shared_ptr<const identity::BundleSet>& bundles() const { return bundles_; }
  const identity::PeerVerifier& verifier() const { return *verifier_; }
  uint64_t svid_generation() const { return svid_generation_; }
  uint64_t bundle_generation() const { return bundle_generation_; }

  // What a port of that protocol shows and asks for.
  const std::shared_ptr<const TlsContext>& server_http() const { return server_http_; }
  const std::shared_ptr<const TlsContext>& server_tcp() const { return server_tcp_; }
  const std::shared_ptr<const TlsContext>& edge_http() const { return edge_http_; }
  const std::shared_ptr<const TlsContext>& edge_tcp() const { return edge_tcp_; }
  const std::shared_ptr<const TlsContext>& client_http() const { return client_http_; }
  const std::shared_ptr<const TlsContext>& client_tcp() const { return client_tcp_; }

 private:
  OwnIdentity() = default;
  std::shared_ptr<const identity::X509Svid> svid_;
  std::shared_ptr<const identity::BundleSet> bundles_;
  std::shared_ptr<const identity::PeerVerifier> verifier_;
  uint64_t svid_generation_ = 1;
  uint64_t bundle_generation_ = 1;
  std::shared_ptr<const TlsContext> server_http_, server_tcp_, edge_http_, edge_tcp_, client_http_,
      client_tcp_;
};

}  // namespace countersign::proxy
