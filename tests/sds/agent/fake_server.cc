#include "tests/sds/agent/fake_server.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <set>

#include "base/unix_grpc/grpc_log.h"
#include "countersign/v1/node.grpc.pb.h"
#include "identity/csr.h"
#include "identity/key.h"
#include "identity/x509_svid.h"

namespace countersign::agent {
namespace {

constexpr std::chrono::seconds kPatience{10};

identity::TrustDomain Domain() { return *identity::TrustDomain::Parse("shop.example"); }

}  // namespace

std::string RegistrationDocument(std::string_view name, std::string_view id,
                                 std::string_view more_spec) {
  return Concat(
      R"({"apiVersion":"countersign.dev/v1alpha1","kind":"Registration","metadata":{"name":")",
      name, R"("},"spec":{"id":")", id, R"(","nodes":[{"id":")", FakeServer::kAgentId, R"("}])",
      more_spec.find("selectors") == std::string_view::npos
          ? Concat(R"(,"selectors":{"unix":{"uid":)", ::getuid(), "}}")
          : std::string(),
      more_spec.empty() ? "" : ",", more_spec, "}}");
}

class FakeServer::Impl final : public v1::NodeAttestation::Service, public v1::NodeStream::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::ServerMessage, v1::AgentMessage>;

  Impl()
      : authority_(*identity::CertificateAuthority::CreateSelfSigned(
            Domain(), std::chrono::hours(24), Clock::System().Now())),
        bundle_(*identity::TrustBundle::FromAuthorities(Domain(), authority_.authorities_der())) {
    ChangeLocked([this](v1::Update& update) {
      v1::Resource& resource = *update.add_upsert();
      resource.set_kind("TrustBundle");
      resource.set_name("shop.example");
      resource.set_document(bundle_.ToJson());
    });
    Start();
  }
  ~Impl() override { Stop(); }

  void Start() {
    auto key = *identity::PrivateKey::GenerateP256();
    auto chain = *authority_.SignLeaf({*identity::SpiffeId::Parse("spiffe://shop.example/server"),
                                       *key.PublicKeyDer(),
                                       std::chrono::hours(12),
                                       {}},
                                      Clock::System().Now());
    auto svid = *identity::X509Svid::Create(chain, *key.ToPkcs8Der());
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
    tls.pem_key_cert_pairs.push_back({svid.KeyPem(), svid.ChainPem()});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(Concat("127.0.0.1:", port_), grpc::SslServerCredentials(tls), &port_);
    builder.RegisterService(static_cast<v1::NodeAttestation::Service*>(this));
    builder.RegisterService(static_cast<v1::NodeStream::Service*>(this));
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  void Stop() {
    if (server_) {
      server_->Shutdown(std::chrono::system_clock::now());
      server_->Wait();
      server_.reset();
    }
  }

  grpc::Status GetBundle(grpc::ServerContext*, const v1::GetBundleRequest*,
                         v1::GetBundleResponse* response) override {
    std::lock_guard lock(mutex_);
    response->set_bundle(pretended_bundle_.empty() ? bundle_.ToJson() : pretended_bundle_);
    return grpc::Status::OK;
  }
  grpc::Status AttestNode(grpc::ServerContext*, const v1::AttestNodeRequest* request,
                          v1::AttestNodeResponse* response) override {
    std::lock_guard lock(mutex_);
    if (tokens_.erase(request->join_token()) == 0) {
      return {grpc::StatusCode::PERMISSION_DENIED, "the join token is not known"};
    }
    for (const std::string& der : Sign(kAgentId, request->csr(), agent_ttl_)) {
      response->add_svid(der);
    }
    response->set_bundle(bundle_.ToJson());
    return grpc::Status::OK;
  }

  grpc::Status Connect(grpc::ServerContext* context, Stream* stream) override {
    if (context->auth_context()->FindPropertyValues("x509_pem_cert").empty()) {
      return {grpc::StatusCode::UNAUTHENTICATED, "no client certificate"};
    }
    v1::AgentMessage message;
    while (stream->Read(&message)) {
      std::lock_guard lock(mutex_);
      Take(message, *stream);
      changed_.notify_all();
    }
    std::lock_guard lock(mutex_);
    streams_.erase(stream);
    changed_.notify_all();
    return grpc::Status::OK;
  }

  // The rest holds mutex_.
  void ChangeLocked(const std::function<void(v1::Update&)>& change) {
    v1::Update update;
    ++n_;
    change(update);
    for (v1::Resource& resource : *update.mutable_upsert()) {
      SetRevision(*resource.mutable_revision());
      resources_[{resource.kind(), resource.name()}] = resource;
    }
    for (const v1::ResourceKey& key : update.remove()) {
      resources_.erase({key.kind(), key.name()});
    }
    SetRevision(*update.mutable_revision());
    v1::ServerMessage message;
    *message.mutable_update() = update;
    for (Stream* stream : streams_) {
      stream->Write(message);
    }
  }
  void SetRevision(v1::Revision& revision) const {
    revision.set_term(1);
    revision.set_n(n_);
  }
  void Take(const v1::AgentMessage& message, Stream& stream) {
    if (message.has_hello()) {
      ++hellos_;
      had_ = {message.hello().have().term(), message.hello().have().n()};
      if (had_ != Revision{1, n_}) {
        SendAll(stream);
      }
      streams_.insert(&stream);
    } else if (message.has_ack()) {
      const v1::Revision& revision = message.ack().revision();
      acks_[message.ack().level()] = {revision.term(), revision.n()};
    } else if (message.has_proxies()) {
      report_ = message.proxies();
    } else if (message.has_sign()) {
      Answer(message.sign(), stream);
    }
  }
  void SendAll(Stream& stream) const {
    v1::ServerMessage message;
    message.mutable_update()->set_full(true);
    SetRevision(*message.mutable_update()->mutable_revision());
    for (const auto& [key, resource] : resources_) {
      *message.mutable_update()->add_upsert() = resource;
    }
    stream.Write(message);
  }
  void Answer(const v1::SigningRequest& request, Stream& stream) {
    v1::ServerMessage message;
    v1::SigningResponse& answer = *message.mutable_signed_();
    answer.set_id(request.id());
    auto found = resources_.find({"Registration", request.registration()});
    bool own = request.registration().empty();
    if (!refusal_.empty() || (!own && found == resources_.end())) {
      answer.set_error_code(static_cast<int>(grpc::StatusCode::FAILED_PRECONDITION));
      answer.set_error(refusal_);
    } else {
      std::string id(kAgentId);
      if (!own) {
        id = authz::LoadRegistration(found->second.document())->id;
      }
      for (const std::string& der : Sign(id, request.csr(), own ? agent_ttl_ : ttl_)) {
        answer.add_svid(der);
      }
      ++signed_[request.registration()];
    }
    stream.Write(message);
  }
  std::vector<std::string> Sign(std::string_view id, const std::string& csr,
                                std::chrono::nanoseconds ttl) const {
    auto parsed = *identity::ParseCsr(csr);
    return *authority_.SignLeaf({*identity::SpiffeId::Parse(id), parsed.public_key_der(), ttl, {}},
                                Clock::System().Now());
  }
  template <class Condition>
  bool WaitFor(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, condition);
  }

  const identity::CertificateAuthority authority_;
  const identity::TrustBundle bundle_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<Stream*> streams_;
  std::map<std::pair<std::string, std::string>, v1::Resource> resources_;
  uint64_t n_ = 0;
  std::set<std::string> tokens_ = {std::string(kToken)};
  std::chrono::nanoseconds ttl_ = std::chrono::hours(1);
  std::chrono::nanoseconds agent_ttl_ = std::chrono::hours(1);
  std::string refusal_;
  std::string pretended_bundle_;
  int hellos_ = 0;
  Revision had_;
  std::map<int, Revision> acks_;
  std::map<std::string, int, std::less<>> signed_;
  v1::ProxyReport report_;
};

FakeServer::FakeServer() {
  RouteGrpcLog();
  impl_ = std::make_unique<Impl>();
}
FakeServer::~FakeServer() = default;

std::string FakeServer::address() const { return Concat("127.0.0.1:", impl_->port_); }
std::string FakeServer::pin() const { return impl_->bundle_.Sha256Pin(); }
const identity::TrustBundle& FakeServer::bundle() const { return impl_->bundle_; }
void FakeServer::Stop() { impl_->Stop(); }
void FakeServer::Start() { impl_->Start(); }

void FakeServer::Put(std::string_view kind, std::string_view name, std::string_view document) {
  std::lock_guard lock(impl_->mutex_);
  impl_->ChangeLocked([&](v1::Update& update) {
    v1::Resource& resource = *update.add_upsert();
    resource.set_kind(std::string(kind));
    resource.set_name(std::string(name));
    resource.set_document(std::string(document));
  });
}
void FakeServer::Remove(std::string_view kind, std::string_view name) {
  std::lock_guard lock(impl_->mutex_);
  impl_->ChangeLocked([&](v1::Update& update) {
    v1::ResourceKey& key = *update.add_remove();
    key.set_kind(std::string(kind));
    key.set_name(std::string(name));
  });
}
void FakeServer::SetSvidTtl(std::chrono::nanoseconds ttl) {
  std::lock_guard lock(impl_->mutex_);
  impl_->ttl_ = ttl;
}
void FakeServer::SetAgentSvidTtl(std::chrono::nanoseconds ttl) {
  std::lock_guard lock(impl_->mutex_);
  impl_->agent_ttl_ = ttl;
}
void FakeServer::AllowToken(std::string_view token) {
  std::lock_guard lock(impl_->mutex_);
  impl_->tokens_.emplace(token);
}
void FakeServer::RefuseSigning(std::string_view why) {
  std::lock_guard lock(impl_->mutex_);
  impl_->refusal_ = why;
}
Revision FakeServer::revision() const {
  std::lock_guard lock(impl_->mutex_);
  return {1, impl_->n_};
}
bool FakeServer::WaitForAck(int level, const Revision& revision) const {
  return impl_->WaitFor([&] { return impl_->acks_[level] >= revision; });
}
bool FakeServer::HasAck(int level, const Revision& revision) const {
  std::lock_guard lock(impl_->mutex_);
  return impl_->acks_[level] >= revision;
}
bool FakeServer::WaitForStreams(size_t count) const {
  return impl_->WaitFor([&] { return impl_->streams_.size() == count; });
}
bool FakeServer::WaitForReport(std::string_view instance, bool ready) const {
  return impl_->WaitFor([&] {
    for (const v1::ProxyStatus& proxy : impl_->report_.proxies()) {
      if (proxy.instance() == instance && proxy.ready() == ready) {
        return true;
      }
    }
    return false;
  });
}
bool FakeServer::WaitForNoReport() const {
  return impl_->WaitFor([&] { return impl_->report_.proxies().empty(); });
}
bool FakeServer::WaitForSigned(std::string_view registration, int count) const {
  return impl_->WaitFor([&] { return impl_->signed_[std::string(registration)] >= count; });
}
void FakeServer::GoBackTo(uint64_t n) {
  std::lock_guard lock(impl_->mutex_);
  impl_->n_ = n;
}

void FakeServer::PretendBundle(const identity::TrustBundle& bundle) {
  std::lock_guard lock(impl_->mutex_);
  impl_->pretended_bundle_ = bundle.ToJson();
}
int FakeServer::hellos() const {
  std::lock_guard lock(impl_->mutex_);
  return impl_->hellos_;
}
Revision FakeServer::last_hello_had() const {
  std::lock_guard lock(impl_->mutex_);
  return impl_->had_;
}
int FakeServer::signed_count(std::string_view registration) const {
  std::lock_guard lock(impl_->mutex_);
  auto found = impl_->signed_.find(registration);
  return found == impl_->signed_.end() ? 0 : found->second;
}

}  // namespace countersign::agent
