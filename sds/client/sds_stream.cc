#include "sds/client/sds_stream.h"

#include "base/clock.h"
#include "base/log.h"
#include "envoy/discovery.pb.h"
#include "envoy/secret.grpc.pb.h"

namespace countersign::sds {
namespace {

using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;
using envoy::service::secret::v3::SecretDiscoveryService;

bool SameSvid(const Secrets& a, const Secrets& b) {
  return a.svid == b.svid || (a.svid && b.svid && a.svid->chain_der() == b.svid->chain_der() &&
                              a.svid->key_pkcs8_der() == b.svid->key_pkcs8_der());
}

bool SameBundles(const Secrets& a, const Secrets& b) {
  if (a.bundles == b.bundles) {
    return true;
  }
  if (!a.bundles || !b.bundles || a.bundles->all().size() != b.bundles->all().size()) {
    return false;
  }
  for (const auto& [name, bundle] : a.bundles->all()) {
    identity::BundleSet::Bundle other = b.bundles->Find(name);
    if (other == nullptr || other->authorities_der() != bundle->authorities_der()) {
      return false;
    }
  }
  return true;
}

void Subscribe(DiscoveryRequest& request, std::string_view version) {
  request.set_version_info(std::string(version));
  request.set_type_url(std::string(kSecretTypeUrl));
  request.add_resource_names(std::string(kSvidSecretName));
  request.add_resource_names(std::string(kBundlesSecretName));
}

}  // namespace

StreamEnd SdsStream::Serve(grpc::ClientContext& context) {
  StreamEnd end;
  auto stub = SecretDiscoveryService::NewStub(shared_.channel);
  auto stream = stub->StreamSecrets(&context);
  std::string version;  // Last good of this stream: the agent may have lost its count.
  DiscoveryRequest request;
  Subscribe(request, version);
  request.mutable_node()->set_id(instance_);
  request.mutable_node()->set_user_agent_name("countersign-proxy");
  DiscoveryResponse response;
  bool is_open = stream->Write(request);
  while (is_open && stream->Read(&response)) {
    end.progress = StreamEnd::Progress::kSome;
    Status taken = Take(response);
    request.Clear();
    if (taken.ok()) {
      version = response.version_info();
    } else {
      LogWarning("refused secrets of the agent", {{"reason", taken}});
      request.mutable_error_detail()->set_code(static_cast<int>(taken.code()));
      request.mutable_error_detail()->set_message(
          std::string(Message(taken).substr(0, NodeClientLimits::kRefusalBytesMax)));
    }
    Subscribe(request, version);
    request.set_response_nonce(response.nonce());
    is_open = stream->Write(request);
  }
  end.status = stream->Finish();
  return end;
}

Status SdsStream::Take(const DiscoveryResponse& response) {
  ASSIGN_OR_RETURN(Secrets next, ReadSecrets(response));
  if (next.svid != nullptr && next.svid->not_after() <= Clock::System().Now()) {
    return InvalidArgument("the SVID has expired at ", FormatTime(next.svid->not_after()));
  }
  next.svid = next.svid != nullptr ? next.svid : taken_.svid;
  next.bundles = next.bundles != nullptr ? next.bundles : taken_.bundles;
  bool is_whole = next.svid != nullptr && next.bundles != nullptr;
  if (is_whole && !(SameSvid(next, offered_) && SameBundles(next, offered_))) {
    {
      std::lock_guard lock(*shared_.observer_mutex);
      RETURN_IF_ERROR(shared_.observer->OnIdentity(next.svid, next.bundles));
    }
    offered_ = next;
    shared_.report->SetSvid(*next.svid);
  }
  taken_ = std::move(next);
  return absl::OkStatus();
}

}  // namespace countersign::sds
