#include "pdp/ext_authz_service.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include "base/unix_grpc/unix_grpc_listener.h"
#include "envoy/ext_authz.grpc.pb.h"

namespace countersign::pdp {
namespace {

namespace wire = envoy::service::auth::v3;

// CheckMethod takes the bytes of a call: a message that cannot be read is denied, where gRPC would
// fail the call, and Envoy might be told to let the request through then.
class CheckMethod final
    : public wire::Authorization::WithRawCallbackMethod_Check<wire::Authorization::Service> {
 public:
  explicit CheckMethod(ExtAuthz& checks) : checks_(checks) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* call,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override {
    grpc::Slice bytes;
    const bool read = request->DumpToSingleSlice(&bytes).ok();
    const std::string answer = checks_.Check(
        read ? std::string_view(reinterpret_cast<const char*>(bytes.begin()), bytes.size())
             : kUnreadable);
    const grpc::Slice slice(answer);
    *response = grpc::ByteBuffer(&slice, 1);
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  // Field number 0, which no message may have.
  static constexpr std::string_view kUnreadable{"\0", 1};
  ExtAuthz& checks_;
};

}  // namespace

class ExtAuthzService::Impl {
 public:
  Impl(ExtAuthz& checks, const ListenAddress& listen, const PdpLimits& limits)
      : method_(checks), address_(listen), limits_(limits) {}
  ~Impl() { Stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Status Start(unsigned unix_mode) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&method_);
    builder.SetMaxReceiveMessageSize(static_cast<int>(limits_.grpc_message_bytes_max));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               limits_.grpc_calls_per_connection_max);
    // Without this a second program could share the port unnoticed.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetResourceQuota(
        grpc::ResourceQuota("ext_authz").Resize(limits_.grpc_memory_bytes_max));
    int port = 0;
    if (address_.is_unix()) {
      UnixGrpcListener::Options options;
      options.path = address_.path();
      options.mode = unix_mode;
      options.limits.connections_max = limits_.grpc_connections_max;
      options.limits.connections_per_uid_max = limits_.grpc_connections_max;
      ASSIGN_OR_RETURN(listener_, UnixGrpcListener::Create(std::move(options)));
    } else {
      builder.AddListeningPort(address_.text(), grpc::InsecureServerCredentials(), &port);
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (!address_.is_unix() && port == 0)) {
      return FailedPrecondition("cannot listen on ", address_.text(),
                                ": the port is in use, or the address is not this machine's");
    }
    if (listener_ != nullptr) {
      listener_->Serve(*server_);
    } else {
      address_ = address_.WithPort(static_cast<uint16_t>(port));
    }
    return absl::OkStatus();
  }

  void Stop() {
    if (listener_ != nullptr) {
      listener_->Stop();
    }
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now() + limits_.drain);
      server_->Wait();
      server_.reset();
    }
    listener_.reset();
  }

  const ListenAddress& address() const { return address_; }

 private:
  CheckMethod method_;
  ListenAddress address_;
  const PdpLimits limits_;
  std::unique_ptr<UnixGrpcListener> listener_;
  std::unique_ptr<grpc::Server> server_;
};

StatusOr<std::unique_ptr<ExtAuthzService>> ExtAuthzService::Start(const ListenAddress& address,
                                                                  unsigned unix_mode,
                                                                  ExtAuthz& checks,
                                                                  const PdpLimits& limits) {
  auto impl = std::make_unique<Impl>(checks, address, limits);
  RETURN_IF_ERROR(impl->Start(unix_mode));
  return std::unique_ptr<ExtAuthzService>(new ExtAuthzService(std::move(impl)));
}

ExtAuthzService::ExtAuthzService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExtAuthzService::~ExtAuthzService() = default;
const ListenAddress& ExtAuthzService::address() const { return impl_->address(); }
void ExtAuthzService::Stop() { impl_->Stop(); }

}  // namespace countersign::pdp
