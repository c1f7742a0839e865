#include "pdp/pdp_server.h"

#include "base/file.h"
#include "base/log.h"
#include "base/unix_grpc/grpc_log.h"
#include "pdp/ext_authz_service.h"

namespace countersign::pdp {
namespace {

Status CheckAddress(const ListenAddress& address, NetworkUse network) {
  if (address.is_unix()) {
    return CheckSocketFolder(address.path());
  }
  if (address.is_local()) {
    return absl::OkStatus();
  }
  if (network == NetworkUse::kLocalOnly) {
    return InvalidArgument(
        address.text(),
        " is reached from other machines, in plain text and by anyone: listen on "
        "a Unix socket or a loopback address, or say --insecure-network");
  }
  LogWarning(
      "INSECURE: anyone who reaches this address can ask, read and change decisions on the way",
      {{"address", address.text()}});
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<PdpServer>> PdpServer::Start(PdpOptions options, const Clock& clock) {
  if (!options.grpc && !options.http) {
    return InvalidArgument("give --listen-grpc, --listen-http or both: nobody could ask otherwise");
  }
  if (options.grpc && !options.ext_authz.workload && !options.ext_authz.workload_from_context) {
    return InvalidArgument(
        "ext_authz does not say which workload is guarded: give --workload ID, or "
        "--workload-from-context if Envoy's context_extensions name it");
  }
  for (const auto& address : {options.grpc, options.http}) {
    if (address) {
      RETURN_IF_ERROR(CheckAddress(*address, options.network));
    }
  }
  RouteGrpcLog();
  std::unique_ptr<PdpServer> server(new PdpServer(std::move(options), clock));
  RETURN_IF_ERROR(server->Open());
  return server;
}

PdpServer::PdpServer(PdpOptions options, const Clock& clock)
    : options_(std::move(options)),
      source_(PolicySource::Start(options_.policies, clock, options_.limits)),
      decisions_(*source_, clock, options_.limits),
      ext_authz_(decisions_, options_.ext_authz, options_.limits) {}

Status PdpServer::Open() {
  if (options_.http) {
    // The address is known once it is bound, and the metadata names it.
    ASSIGN_OR_RETURN(
        http_, HttpServer::Start(
                   *options_.http, options_.unix_mode,
                   [this](const ListenAddress& bound) -> HttpServer::Handler {
                     std::string url = options_.public_url;
                     if (url.empty() && !bound.is_unix()) {
                       url = Concat("http://", bound.text());
                     }
                     authzen_ = std::make_unique<AuthZen>(
                         decisions_, AuthZen::Options{std::move(url), options_.ext_authz.workload},
                         options_.limits);
                     return
                         [this](const HttpRequest& request) { return authzen_->Handle(request); };
                   },
                   options_.limits));
  }
  if (options_.grpc) {
    ASSIGN_OR_RETURN(grpc_, ExtAuthzService::Start(*options_.grpc, options_.unix_mode, ext_authz_,
                                                   options_.limits));
  }
  return absl::OkStatus();
}

PdpServer::~PdpServer() { Stop(); }

const ListenAddress* PdpServer::grpc_address() const {
  return grpc_ == nullptr ? nullptr : &grpc_->address();
}
const ListenAddress* PdpServer::http_address() const {
  return http_ == nullptr ? nullptr : &http_->address();
}

void PdpServer::Stop() {
  if (grpc_ != nullptr) {
    grpc_->Stop();
  }
  if (http_ != nullptr) {
    http_->Stop();
  }
}

}  // namespace countersign::pdp
