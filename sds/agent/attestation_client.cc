#include "sds/agent/attestation_client.h"

#include <chrono>

#include "base/crypto/hash.h"
#include "countersign/v1/node.grpc.pb.h"
#include "identity/key.h"
#include "sds/agent/server_channel.h"

namespace countersign::agent {
namespace {

constexpr std::chrono::seconds kCallWithin{10};

Status FromGrpc(const grpc::Status& status, std::string_view what) {
  return Error(static_cast<StatusCode>(status.error_code()), what, ": ", status.error_message());
}

// A pin is typed or pasted by people: digits of either case.
Status CheckPin(std::string_view bundle_json, const std::string& pin) {
  ASSIGN_OR_RETURN(std::string wanted, HexDecode(pin));
  Sha256Digest is = Sha256(bundle_json);
  if (wanted != std::string_view(reinterpret_cast<const char*>(is.data()), is.size())) {
    return PermissionDenied(
        "the server's bundle has SHA-256 ", HexLower(is), ", but the pin is ", Quoted(pin),
        ": this is another server, or the pin is old; take token and pin from one "
        "`countersign token generate`");
  }
  return absl::OkStatus();
}

StatusOr<identity::TrustBundle> PinnedBundle(const JoinOptions& options) {
  auto stub = v1::NodeAttestation::NewStub(UnverifiedChannel(options.server));
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + kCallWithin);
  v1::GetBundleResponse response;
  grpc::Status status = stub->GetBundle(&call, v1::GetBundleRequest(), &response);
  if (!status.ok()) {
    return FromGrpc(status, Concat("get the bundle of ", options.server));
  }
  RETURN_IF_ERROR(CheckPin(response.bundle(), options.bundle_sha256));
  return identity::TrustBundle::ParseJson(options.trust_domain, response.bundle());
}

}  // namespace

Status CheckAgentId(const identity::SpiffeId& id, const identity::TrustDomain& domain) {
  if (id.trust_domain_name() != domain.name() || !id.path().starts_with("/agent/")) {
    return FailedPrecondition(Quoted(id.str()), " is not the ID of an agent of ",
                              domain.IdString());
  }
  return absl::OkStatus();
}

StatusOr<Joined> Join(const JoinOptions& options, const Clock& clock) {
  ASSIGN_OR_RETURN(identity::TrustBundle bundle, PinnedBundle(options));
  ASSIGN_OR_RETURN(identity::SpiffeId server_id,
                   identity::SpiffeId::Make(options.trust_domain, "/server"));
  ASSIGN_OR_RETURN(identity::BundleSet set,
                   identity::BundleSet::Create({std::make_shared<identity::TrustBundle>(bundle)}));
  auto bundles = std::make_shared<const identity::BundleSet>(std::move(set));
  ASSIGN_OR_RETURN(identity::PrivateKey key, identity::PrivateKey::GenerateP256());
  ASSIGN_OR_RETURN(std::string csr, identity::MakeCsr(key));
  ASSIGN_OR_RETURN(std::string key_der, key.ToPkcs8Der());

  auto stub = v1::NodeAttestation::NewStub(
      VerifiedChannel(options.server, {std::move(server_id), bundles, nullptr}, clock));
  v1::AttestNodeRequest request;
  request.set_join_token(options.token);
  request.set_csr(csr);
  v1::AttestNodeResponse response;
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + kCallWithin);
  grpc::Status status = stub->AttestNode(&call, request, &response);
  if (!status.ok()) {
    return FromGrpc(status, "attest this node");
  }
  std::vector<std::string> chain(response.svid().begin(), response.svid().end());
  ASSIGN_OR_RETURN(identity::X509Svid svid,
                   identity::X509Svid::Create(std::move(chain), std::move(key_der)));
  RETURN_IF_ERROR(CheckAgentId(svid.id(), options.trust_domain));
  if (!response.bundle().empty()) {
    ASSIGN_OR_RETURN(bundle,
                     identity::TrustBundle::ParseJson(options.trust_domain, response.bundle()));
  }
  StoredSvid stored{std::make_shared<const identity::X509Svid>(std::move(svid)), clock.Now(),
                    "agent"};
  return Joined{std::move(stored), std::move(bundle)};
}

}  // namespace countersign::agent
