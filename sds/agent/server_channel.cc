#include "sds/agent/server_channel.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <optional>

#include "base/crypto/base64.h"
#include "base/log.h"

namespace countersign::agent {
namespace {

namespace exp = grpc::experimental;

constexpr int kMessageBytesMax = 64 << 20;  // AgentLimits::state_bytes_max.
// The server's default allows one ping in five minutes; more often it would hang up.
constexpr int kKeepaliveMs = 330'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kConnectBackoffMs = 200;  // The agent itself waits between its attempts.

// ServerVerifier judges the peer's chain by the SPIFFE rules; gRPC's own checks of roots and host
// names are off. Without an expected identity it accepts everybody.
class ServerVerifier final : public exp::ExternalCertificateVerifier {
 public:
  ServerVerifier(std::optional<ServerIdentity> expected, const Clock& clock)
      : expected_(std::move(expected)), clock_(clock) {}

  bool Verify(exp::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* status) override {
    if (Status judged = Judge(*request); !judged.ok()) {
      LogWarning("the server was refused", {{"why", judged}});
      *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(Message(judged)));
    } else {
      *status = grpc::Status::OK;
    }
    return true;  // Judged at once.
  }
  void Cancel(exp::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  Status Judge(exp::TlsCustomVerificationCheckRequest& request) const {
    if (!expected_) {
      return absl::OkStatus();
    }
    grpc::string_ref pem = request.peer_cert_full_chain();
    ASSIGN_OR_RETURN(std::vector<std::string> chain, CertificatesFromPem({pem.data(), pem.size()}));
    std::vector<std::string_view> views(chain.begin(), chain.end());
    identity::PeerVerifier verifier(expected_->bundles);
    WallTime now = clock_.Now();
    identity::VerifyResult result = verifier.Verify(views, identity::PeerRole::kServer, now);
    if (!result.ok()) {
      bool by_time = result.error() == identity::VerifyError::kNotYetValid ||
                     result.error() == identity::VerifyError::kExpired;
      return PermissionDenied(
          "its certificate does not verify: ", identity::VerifyErrorName(result.error()),
          by_time ? Concat("; the clock of this node says ", FormatTime(now),
                           ": set the clock of whichever is wrong")
                  : std::string());
    }
    if (result.peer().id() != expected_->server_id) {
      return PermissionDenied("it is ", Quoted(result.peer().id().str()), " and not ",
                              Quoted(expected_->server_id.str()));
    }
    return absl::OkStatus();
  }

  const std::optional<ServerIdentity> expected_;
  const Clock& clock_;
};

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           std::optional<ServerIdentity> expected,
                                           const Clock& clock) {
  exp::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);  // By OpenSSL's roots; ServerVerifier always runs.
  options.set_check_call_host(false);
  if (expected && expected->own) {
    std::vector<exp::IdentityKeyCertPair> pairs{
        {expected->own->KeyPem(), expected->own->ChainPem()}};
    options.set_certificate_provider(
        std::make_shared<exp::StaticDataCertificateProvider>("", std::move(pairs)));
    options.watch_identity_key_cert_pairs();
  }
  options.set_certificate_verifier(
      exp::ExternalCertificateVerifier::Create<ServerVerifier>(std::move(expected), clock));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // No connection of other credentials.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kConnectBackoffMs);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, exp::TlsCredentials(options), arguments);
}

}  // namespace

std::shared_ptr<grpc::Channel> UnverifiedChannel(const std::string& address) {
  return MakeChannel(address, std::nullopt, Clock::System());
}

std::shared_ptr<grpc::Channel> VerifiedChannel(const std::string& address,
                                               const ServerIdentity& identity, const Clock& clock) {
  return MakeChannel(address, identity, clock);
}

StatusOr<std::vector<std::string>> CertificatesFromPem(std::string_view pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
  std::vector<std::string> ders;
  for (size_t begin = pem.find(kBegin); begin != std::string_view::npos; begin = pem.find(kBegin)) {
    pem.remove_prefix(begin + kBegin.size());
    size_t end = pem.find(kEnd);
    if (end == std::string_view::npos) {
      return InvalidArgument("a certificate in PEM does not end");
    }
    std::string text(pem.substr(0, end));
    std::erase_if(text, [](char c) { return c == '\n' || c == '\r'; });
    ASSIGN_OR_RETURN(std::string der, Base64Decode(text));
    ders.push_back(std::move(der));
    pem.remove_prefix(end + kEnd.size());
  }
  return ders;
}

}  // namespace countersign::agent
