// TlsContext: how one side of the proxy speaks TLS with one SVID and one bundle set.
//
// TLS 1.3 alone, no resumption, no early data. Whoever the peer is gets decided inside the
// handshake, by identity::PeerVerifier and nothing else. OpenSSL appears in tls_*.cc only.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "identity/peer_verifier.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

struct ssl_ctx_st;

namespace countersign::proxy {

enum class TlsRole : uint8_t { kServer, kClient };
// ClientCertificate says whether a server insists on one. A certificate that is presented must be
// valid in either case.
enum class ClientCertificate : uint8_t { kRequired, kOptional };

inline constexpr std::string_view kAlpnHttp1 = "http/1.1";
inline constexpr std::string_view kAlpnTcp = "countersign-tcp";

// TlsContext is immutable and shared by all workers.
class TlsContext {
 public:
  struct Options {
    TlsRole role = TlsRole::kServer;
    ClientCertificate client_certificate = ClientCertificate::kRequired;
    // Preferred first. A server refuses a client that offers ALPN without any of these.
    std::vector<std::string> alpn;
  };
  static StatusOr<std::shared_ptr<const TlsContext>> Create(
      const identity::X509Svid& svid, std::shared_ptr<const identity::PeerVerifier> verifier,
      Options options);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  ssl_ctx_st* handle() const { return handle_; }
  const Options& options() const { return options_; }
  // alpn_wire is the list as RFC 7301 section 3.1 writes it.
  const std::string& alpn_wire() const { return alpn_wire_; }
  const identity::PeerVerifier& verifier() const { return *verifier_; }

 private:
  TlsContext(ssl_ctx_st* handle, std::shared_ptr<const identity::PeerVerifier> verifier,
             Options options);
  Status UseSvid(const identity::X509Svid& svid);

  ssl_ctx_st* handle_;
  std::shared_ptr<const identity::PeerVerifier> verifier_;
  Options options_;
  std::string alpn_wire_;
};

}  // namespace countersign::proxy
