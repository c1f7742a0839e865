#include "identity/server/peer_identity_service.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "identity/certificate.h"
#include "identity/server/rate_limiter.h"
#include "identity/server/source.h"

namespace countersign::server {
namespace {

Status Unauthenticated(std::string_view why) {
  return Error(StatusCode::kUnauthenticated, "the client's certificate is refused: ", why);
}

StatusOr<identity::VerifiedPeer> VerifyPem(std::string_view leaf_pem, std::string_view chain_pem,
                                           const Trust& trust, WallTime now) {
  constexpr size_t kCountMax = identity::VerifyLimits::kPresentedMax + 1;
  ASSIGN_OR_RETURN(std::vector<std::string> chain, identity::SplitPem(leaf_pem, kCountMax));
  ASSIGN_OR_RETURN(std::vector<std::string> rest, identity::SplitPem(chain_pem, kCountMax));
  for (std::string& certificate : rest) {
    // OpenSSL's chain of a client leaves the leaf out, that of a server begins with it.
    if (chain.empty() || certificate != chain.front()) {
      chain.push_back(std::move(certificate));
    }
  }
  std::vector<std::string_view> views(chain.begin(), chain.end());
  std::shared_ptr<const identity::PeerVerifier> verifier = trust.Get();
  if (verifier == nullptr) {
    return Unauthenticated("no bundle yet");
  }
  identity::VerifyResult result = verifier->Verify(views, identity::PeerRole::kClient, now);
  if (!result.ok()) {
    // Any stranger may cause this.
    static RateLimiter logged({.per_second = 1, .burst = 60, .keys_max = 1}, Clock::System());
    if (logged.Take("")) {
      LogWarning("a client's certificate is refused",
                 {{"why", identity::VerifyErrorName(result.error())},
                  {"claimed_id", result.claimed_id()}});
    }
    return Unauthenticated(identity::VerifyErrorName(result.error()));
  }
  return result.peer();
}

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

// Fails the handshake of a client whose certificate is not a good SVID. A client without one goes
// on: attestation needs none, and every other call asks for it.
class HandshakeVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  HandshakeVerifier(std::shared_ptr<const Trust> trust, const Clock& clock)
      : trust_(std::move(trust)), clock_(clock) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)>, grpc::Status* sync_status) override {
    std::string_view leaf = View(request->peer_cert());
    std::string_view chain = View(request->peer_cert_full_chain());
    *sync_status = grpc::Status::OK;
    if (!leaf.empty() || !chain.empty()) {
      *sync_status = ToGrpc(VerifyPem(leaf, chain, *trust_, clock_.Now()).status());
    }
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::shared_ptr<const Trust> trust_;
  const Clock& clock_;
};

std::string Property(const grpc::AuthContext& context, const char* name) {
  std::string joined;
  for (grpc::string_ref value : context.FindPropertyValues(name)) {
    joined.append(value.data(), value.size());
  }
  return joined;
}

}  // namespace

void RequireTls13() {
  // gRPC 1.51 has no switch for the oldest TLS version. It does let the suites of TLS 1.2 be
  // chosen: this one needs an RSA certificate, which this server never has.
  ::setenv("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384", 1);
}

std::shared_ptr<grpc::ServerCredentials> MakeNodePortCredentials(const NodePortFiles& files,
                                                                 std::shared_ptr<const Trust> trust,
                                                                 const Clock& clock) {
  using grpc::experimental::ExternalCertificateVerifier;
  auto provider = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      files.key_path, files.certificate_path, static_cast<unsigned>(files.reread.count()));
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  options.set_certificate_verifier(
      ExternalCertificateVerifier::Create<HandshakeVerifier>(std::move(trust), clock));
  return grpc::experimental::TlsServerCredentials(options);
}

StatusOr<identity::VerifiedPeer> VerifyCaller(const grpc::ServerContextBase& context,
                                              const Trust& trust, WallTime now) {
  std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  std::string leaf = auth == nullptr ? "" : Property(*auth, GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (leaf.empty()) {
    return Unauthenticated("none was presented; this call needs an agent's SVID");
  }
  return VerifyPem(leaf, Property(*auth, GRPC_X509_PEM_CERT_CHAIN_PROPERTY_NAME), trust, now);
}

std::string AddressOf(const grpc::ServerContextBase& context) {
  std::string peer = context.peer();  // "ipv4:10.0.0.1:4711", "ipv6:%5B::1%5D:4711"
  size_t begin = peer.find(':');
  size_t end = peer.rfind(':');
  return begin == std::string::npos || end <= begin ? peer
                                                    : peer.substr(begin + 1, end - begin - 1);
}

std::string SourceOf(const grpc::ServerContextBase& context) {
  // All whom gRPC calls by a name that is no address share one.
  std::optional<Endpoint> endpoint = ParsePeer(context.peer());
  return endpoint ? SourceOf(*endpoint) : std::string();
}

grpc::Status ToGrpc(const Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(Message(status))};
}

}  // namespace countersign::server
