#include "identity/server/node_attestation_service.h"

#include <string>
#include <utility>

#include "base/log.h"
#include "identity/server/peer_identity_service.h"

namespace countersign::server {

NodeAttestationService::NodeAttestationService(const Parts& parts)
    : parts_(parts),
      of_address_(AttestationLimits::kOfAddress, parts.clock),
      failures_of_address_(AttestationLimits::kFailuresOfAddress, parts.clock),
      of_all_(AttestationLimits::kOfAll, parts.clock) {}

Status NodeAttestationService::CheckRate(const std::string& address) {
  if (!of_address_.Take(address) || !of_all_.Take("")) {
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
  Status status = CheckRate(AddressOf(*context));
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
  std::string address = AddressOf(*context);
  Status status = CheckRate(address);
  if (status.ok()) {
    status = Attest(address, *request, *response);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

Status NodeAttestationService::Attest(const std::string& address,
                                      const v1::AttestNodeRequest& request,
                                      v1::AttestNodeResponse& response) {
  WallTime now = parts_.clock.Now();
  std::string why;
  StatusOr<TokenGrant> grant = parts_.agents.FindToken(request.join_token(), now, why);
  if (!grant.ok()) {
    LogWarning("attestation refused", {{"address", address}, {"why", why}});
    // Guessing is hopeless at 192 bits; this keeps a loop of failures from filling the log.
    return failures_of_address_.Take(address)
               ? grant.status()
               : ResourceExhausted("too many refused join tokens from this address; wait a minute");
  }
  // Sign first and hand out only if the token was still there: a failure here leaves it usable.
  ASSIGN_OR_RETURN(SignedSvid svid,
                   parts_.issuer.Sign({grant->agent_id, request.csr(), parts_.agent_svid_ttl, {}}));
  ASSIGN_OR_RETURN(std::string bundle, OwnBundle());
  RETURN_IF_ERROR(parts_.agents.Admit(*grant, {svid.serial, svid.not_after, svid.not_before}, now));
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
