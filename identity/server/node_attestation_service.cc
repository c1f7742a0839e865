#include "identity/server/node_attestation_service.h"

#include <string>
#include <utility>

#include "base/log.h"
#include "identity/server/peer_identity_service.h"

namespace countersign::server {

NodeAttestationService::NodeAttestationService(const Parts& parts)
    : parts_(parts),
      rate_(parts.clock),
      failures_of_source_(AttestationLimits::kFailuresOfSource, parts.clock) {}

Status NodeAttestationService::CheckRate(const grpc::ServerContextBase& context) {
  if (!rate_.Take(SourceOf(context))) {
    return ResourceExhausted("too many attestation calls; wait a few seconds and try again");
  }
  return absl::OkStatus();
}

StatusOr<std::string> NodeAttestationService::OwnBundle() const {
  Registry::State state = parts_.registry.state();
  auto found = state->bundles.find(parts_.issuer.trust_domain().name());
  if (found == state->bundles.end()) {
    return Unavailable("the server has no bundle yet");
  }
  return found->second->document;
}

grpc::ServerUnaryReactor* NodeAttestationService::GetBundle(grpc::CallbackServerContext* context,
                                                            const v1::GetBundleRequest*,
                                                            v1::GetBundleResponse* response) {
  Status status = CheckRate(*context);
  if (status.ok()) {
    StatusOr<std::string> bundle = OwnBundle();
    status = bundle.status();
    response->set_bundle(bundle.ok() ? *std::move(bundle) : std::string());
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* NodeAttestationService::AttestNode(grpc::CallbackServerContext* context,
                                                             const v1::AttestNodeRequest* request,
                                                             v1::AttestNodeResponse* response) {
  Status status = CheckRate(*context);
  if (status.ok()) {
    status = Attest(*context, *request, *response);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

Status NodeAttestationService::Attest(const grpc::ServerContextBase& context,
                                      const v1::AttestNodeRequest& request,
                                      v1::AttestNodeResponse& response) {
  std::string address = AddressOf(context);
  WallTime now = parts_.clock.Now();
  std::string why;
  StatusOr<TokenGrant> grant = parts_.agents.FindToken(request.join_token(), now, why);
  if (!grant.ok()) {
    LogWarning("attestation refused", {{"address", address}, {"why", why}});
    // Guessing is hopeless at 192 bits; this keeps a loop of failures from filling the log.
    return failures_of_source_.Take(SourceOf(context))
               ? grant.status()
               : ResourceExhausted("too many refused join tokens from this address; wait a minute");
  }
  // Sign first and hand out only if the token was still there: a failure here leaves it usable.
  Attestation attestation = Attestation::New();
  ASSIGN_OR_RETURN(SignedSvid svid, parts_.issuer.Sign({grant->agent_id,
                                                        request.csr(),
                                                        parts_.agent_svid_ttl,
                                                        {},
                                                        attestation.serial_prefix()}));
  ASSIGN_OR_RETURN(std::string bundle, OwnBundle());
  RETURN_IF_ERROR(parts_.agents.Admit(*grant, {svid.serial, svid.not_after}, now));
  parts_.streams.CloseFormer(grant->agent_id.str(), attestation);
  LogInfo("agent attested", {{"agent", grant->agent_id.str()},
                             {"address", address},
                             {"serial", svid.serial},
                             {"not_after", FormatTime(svid.not_after)}});
  for (std::string& certificate : svid.chain_der) {
    response.add_svid(std::move(certificate));
  }
  response.set_bundle(std::move(bundle));
  return absl::OkStatus();
}

}  // namespace countersign::server
