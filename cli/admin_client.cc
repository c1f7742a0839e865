#include "cli/admin_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "base/fd.h"
#include "countersign/v1/admin.grpc.pb.h"

namespace countersign::cli {
namespace {

constexpr std::chrono::seconds kCallMax{60};  // An apply runs every test of every changed set.
constexpr int kMessageBytesMax = 128 << 20;   // Old and new documents of a whole apply.

Status FromGrpc(const grpc::Status& status) {
  return Error(static_cast<StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

struct AdminClient::Connection {
  std::unique_ptr<v1::Admin::Stub> stub;

  template <class Request, class Response>
  StatusOr<Response> Call(grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*,
                                                                  const Request&, Response*),
                          const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallMax);
    Response response;
    grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) {
      return FromGrpc(status);
    }
    return response;
  }
};

AdminClient::AdminClient(std::unique_ptr<Connection> connection)
    : connection_(std::move(connection)) {}
AdminClient::~AdminClient() = default;

StatusOr<std::unique_ptr<AdminClient>> AdminClient::Connect(const std::string& socket_path) {
  if (socket_path.empty()) {
    return InvalidArgument("which server? give --server-socket PATH or set ",
                           "COUNTERSIGN_SERVER_SOCKET");
  }
  // gRPC would try for a while and then say little: look first.
  if (StatusOr<Fd> probe = ConnectUnix(socket_path); !probe.ok()) {
    return probe.status().code() == StatusCode::kPermissionDenied
               ? Annotate(probe.status(),
                          "only the server's own user and root may administer it; use sudo")
               : Annotate(probe.status(), "no server answers; is countersign-server running");
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  auto connection = std::make_unique<Connection>();
  connection->stub = v1::Admin::NewStub(grpc::CreateCustomChannel(
      Concat("unix:", socket_path), grpc::InsecureChannelCredentials(), arguments));
  return std::unique_ptr<AdminClient>(new AdminClient(std::move(connection)));
}

StatusOr<v1::GetResponse> AdminClient::Get(const v1::GetRequest& request) {
  return connection_->Call(&v1::Admin::Stub::Get, request);
}
StatusOr<v1::ApplyResponse> AdminClient::Apply(const v1::ApplyRequest& request) {
  return connection_->Call(&v1::Admin::Stub::Apply, request);
}
StatusOr<v1::DeleteResponse> AdminClient::Delete(const v1::DeleteRequest& request) {
  return connection_->Call(&v1::Admin::Stub::Delete, request);
}
StatusOr<v1::HistoryResponse> AdminClient::History(const v1::HistoryRequest& request) {
  return connection_->Call(&v1::Admin::Stub::History, request);
}
StatusOr<v1::ApplyResponse> AdminClient::Rollback(const v1::RollbackRequest& request) {
  return connection_->Call(&v1::Admin::Stub::Rollback, request);
}
StatusOr<v1::CreateJoinTokenResponse> AdminClient::CreateJoinToken(
    const v1::CreateJoinTokenRequest& request) {
  return connection_->Call(&v1::Admin::Stub::CreateJoinToken, request);
}
StatusOr<v1::ListAgentsResponse> AdminClient::ListAgents() {
  return connection_->Call(&v1::Admin::Stub::ListAgents, v1::ListAgentsRequest());
}
StatusOr<v1::ListProxiesResponse> AdminClient::ListProxies() {
  return connection_->Call(&v1::Admin::Stub::ListProxies, v1::ListProxiesRequest());
}
StatusOr<v1::GetServerInfoResponse> AdminClient::GetServerInfo() {
  return connection_->Call(&v1::Admin::Stub::GetServerInfo, v1::GetServerInfoRequest());
}

Status AdminClient::Watch(const std::string& kind,
                          const std::function<bool(const v1::WatchEvent&)>& on_event) {
  grpc::ClientContext context;
  v1::WatchRequest request;
  request.set_kind(kind);
  auto reader = connection_->stub->Watch(&context, request);
  v1::WatchEvent event;
  while (reader->Read(&event)) {
    if (!on_event(event)) {
      context.TryCancel();
      while (reader->Read(&event)) {
      }
      grpc::Status ended = reader->Finish();
      (void)ended;  // Ended by us.
      return absl::OkStatus();
    }
  }
  return FromGrpc(reader->Finish());
}

}  // namespace countersign::cli
