#include "cli/svid/workload_api_client.h"

#include <grpcpp/grpcpp.h>

#include "spiffe/workload_api.grpc.pb.h"

namespace countersign::cli::svid {
namespace {

using identity::TrustBundle;
using identity::X509Svid;

constexpr int kMessageBytesMax = 8 * 1024 * 1024;  // Some hundred identities with long chains.

StatusOr<WorkloadIdentity> ReadIdentity(const X509SVID& message) {
  ASSIGN_OR_RETURN(X509Svid svid,
                   X509Svid::FromConcatenatedDer(message.x509_svid(), message.x509_svid_key()));
  if (svid.id().str() != message.spiffe_id()) {
    return InvalidArgument("SVID of ", Quoted(svid.id().str()), " was sent as ",
                           Quoted(message.spiffe_id()));
  }
  ASSIGN_OR_RETURN(TrustBundle bundle,
                   TrustBundle::FromConcatenatedDer(svid.id().trust_domain(), message.bundle()));
  return WorkloadIdentity{std::make_shared<const X509Svid>(std::move(svid)),
                          std::make_shared<const TrustBundle>(std::move(bundle)), message.hint()};
}

StatusOr<WorkloadIdentities> ReadIdentities(const X509SVIDResponse& response) {
  if (response.svids().empty()) {
    return InvalidArgument("the agent sent no identity");
  }
  WorkloadIdentities identities;
  for (const X509SVID& message : response.svids()) {
    ASSIGN_OR_RETURN(WorkloadIdentity identity, ReadIdentity(message));
    identities.push_back(std::move(identity));
  }
  return identities;
}

Status FromGrpc(const grpc::Status& status, const std::string& socket) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return Unavailable("the agent ended the stream");
    case grpc::StatusCode::PERMISSION_DENIED:
      return PermissionDenied("the agent knows no registration that this process matches (",
                              status.error_message(), ")");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Error(StatusCode::kDeadlineExceeded, "the agent sent no identity in time");
    case grpc::StatusCode::UNAVAILABLE:
      return Unavailable("the agent on ", socket, " does not answer (", status.error_message(),
                         ")");
    default:
      return Error(static_cast<StatusCode>(status.error_code()), status.error_message());
  }
}

}  // namespace

StatusOr<std::string> ParseEndpoint(std::string_view text) {
  std::string_view path = text;
  // Workload Endpoint section 4: unix:///path, without an authority.
  for (std::string_view scheme : {"unix://", "unix:"}) {
    if (path.starts_with(scheme)) {
      path.remove_prefix(scheme.size());
      break;
    }
  }
  if (path.empty()) {
    return InvalidArgument(
        "which agent? give --agent-socket PATH, or set COUNTERSIGN_AGENT_SOCKET or ",
        "SPIFFE_ENDPOINT_SOCKET");
  }
  if (!path.starts_with('/')) {
    return InvalidArgument(Quoted(text), " is no Unix socket; use unix:///absolute/path");
  }
  return std::string(path);
}

Status StreamIdentities(const WorkloadQuestion& question,
                        const std::function<Next(const WorkloadIdentities&)>& take) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = grpc::CreateCustomChannel("unix:" + question.socket,
                                           grpc::InsecureChannelCredentials(), arguments);
  auto stub = SpiffeWorkloadAPI::NewStub(channel);
  grpc::ClientContext context;
  // Workload Endpoint section 6: shows that no deputy was talked into this call.
  context.AddMetadata("workload.spiffe.io", "true");
  if (question.patience.has_value()) {
    context.set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::duration_cast<std::chrono::system_clock::duration>(*question.patience));
  }
  auto stream = stub->FetchX509SVID(&context, X509SVIDRequest());
  X509SVIDResponse response;
  Status outcome;
  bool is_over = false;
  while (!is_over && stream->Read(&response)) {
    StatusOr<WorkloadIdentities> identities = ReadIdentities(response);
    outcome = identities.status();
    is_over = !identities.ok() || take(*identities) == Next::kEnough;
  }
  if (is_over) {
    context.TryCancel();  // The agent would go on for ever.
  }
  grpc::Status ended = stream->Finish();
  return is_over ? outcome : FromGrpc(ended, question.socket);
}

}  // namespace countersign::cli::svid
