#include "tests/support/fake_agent.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "authz/kinds/loader.h"
#include "countersign/v1/proxy.grpc.pb.h"
#include "envoy/secret.grpc.pb.h"
#include "envoy/tls.pb.h"

namespace countersign {
namespace {

namespace discovery = envoy::service::discovery::v3;
namespace secret = envoy::service::secret::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;

constexpr const char* kSecretType =
    "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

// State is what the services read; `version` rises with every change of anything.
struct State {
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t version = 1;
  bool stopping = false;
  std::shared_ptr<const identity::X509Svid> svid;
  std::shared_ptr<const identity::BundleSet> bundles;
  uint64_t secrets_version = 0;
  v1::ProxyConfiguration configuration;  // version 0: none yet.
  std::vector<FakeResult> results;
  std::vector<std::string> secret_refusals;

  void Change(const std::function<void()>& edit) {
    const std::lock_guard lock(mutex);
    edit();
    ++version;
    changed.notify_all();
  }
};

std::optional<tls::Secret> MakeSecret(const std::string& name, const State& state) {
  tls::Secret made;
  made.set_name(name);
  if (name == "default" || name == state.svid->id().str()) {
    tls::TlsCertificate& certificate = *made.mutable_tls_certificate();
    certificate.mutable_certificate_chain()->set_inline_bytes(state.svid->ChainPem());
    certificate.mutable_private_key()->set_inline_bytes(state.svid->KeyPem());
    return made;
  }
  tls::CertificateValidationContext& context = *made.mutable_validation_context();
  if (name == "ALL") {
    tls::SPIFFECertValidatorConfig config;
    for (const auto& [domain, bundle] : state.bundles->all()) {
      auto& one = *config.add_trust_domains();
      one.set_name(domain);
      one.mutable_trust_bundle()->set_inline_bytes(bundle->AuthoritiesPem());
    }
    auto& extension = *context.mutable_custom_validator_config();
    extension.set_name("envoy.tls.cert_validator.spiffe");
    extension.mutable_typed_config()->PackFrom(config);
    return made;
  }
  const std::string own = state.svid->id().trust_domain().name();
  const std::string domain = name == "ROOTCA" ? own : name.substr(std::min(name.size(), size_t{9}));
  if (const auto bundle = state.bundles->Find(domain); bundle != nullptr) {
    context.mutable_trusted_ca()->set_inline_bytes(bundle->AuthoritiesPem());
    return made;
  }
  return std::nullopt;
}

// SecretService answers a stream's last list of names after each change.
class SecretService final : public secret::SecretDiscoveryService::Service {
 public:
  explicit SecretService(State& state) : state_(state) {}

  grpc::Status StreamSecrets(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<discovery::DiscoveryResponse, discovery::DiscoveryRequest>* stream)
      override {
    std::vector<std::string> names;  // Guarded by state_.mutex.
    uint64_t asked = 0;              // Counts changed lists.
    bool open = true;
    std::thread reader([&] {
      discovery::DiscoveryRequest request;
      while (stream->Read(&request)) {
        state_.Change([&] {
          if (request.has_error_detail()) {
            state_.secret_refusals.push_back(request.error_detail().message());
          }
          std::vector<std::string> list(request.resource_names().begin(),
                                        request.resource_names().end());
          if (list != names) {
            names = std::move(list);
            ++asked;
          }
        });
      }
      state_.Change([&] { open = false; });
    });
    uint64_t sent_secrets = 0;
    uint64_t sent_asked = 0;
    std::unique_lock lock(state_.mutex);
    while (true) {
      state_.changed.wait(lock, [&] {
        return !open || state_.stopping ||
               (state_.secrets_version > 0 && asked > 0 &&
                (state_.secrets_version != sent_secrets || asked != sent_asked));
      });
      if (!open || state_.stopping) {
        break;
      }
      sent_secrets = state_.secrets_version;
      sent_asked = asked;
      discovery::DiscoveryResponse response;
      response.set_type_url(kSecretType);
      response.set_version_info(std::to_string(sent_secrets));
      response.set_nonce(std::to_string(sent_secrets) + "-" + std::to_string(sent_asked));
      for (const std::string& name : names) {
        if (const auto made = MakeSecret(name, state_)) {
          response.add_resources()->PackFrom(*made);
        }
      }
      lock.unlock();
      stream->Write(response);
      lock.lock();
    }
    lock.unlock();
    reader.join();  // Ends with the call, which the server's shutdown cancels.
    return grpc::Status::OK;
  }

 private:
  State& state_;
};

class ConfigService final : public v1::ProxyConfig::Service {
 public:
  explicit ConfigService(State& state) : state_(state) {}

  grpc::Status Stream(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<v1::ProxyConfiguration, v1::ProxyMessage>* stream) override {
    bool open = true;
    std::thread reader([&] {
      v1::ProxyMessage message;
      while (stream->Read(&message)) {
        if (message.has_result()) {
          const v1::ProxyResult& result = message.result();
          state_.Change([&] {
            state_.results.push_back({.config_version = result.config_version(),
                                      .refused = result.refused(),
                                      .ready = result.ready(),
                                      .svid_serial = result.svid_serial()});
          });
        }
      }
      state_.Change([&] { open = false; });
    });
    uint64_t sent = 0;
    std::unique_lock lock(state_.mutex);
    while (true) {
      state_.changed.wait(
          lock, [&] { return !open || state_.stopping || state_.configuration.version() != sent; });
      if (!open || state_.stopping) {
        break;
      }
      const v1::ProxyConfiguration configuration = state_.configuration;
      sent = configuration.version();
      lock.unlock();
      stream->Write(configuration);
      lock.lock();
    }
    lock.unlock();
    reader.join();
    return grpc::Status::OK;
  }

 private:
  State& state_;
};

StatusOr<v1::ProxyConfiguration> LoadConfiguration(const FakeConfiguration& from) {
  const std::vector<authz::SourceFile> files = {{.path = "test.yaml", .content = from.yaml}};
  const authz::LoadResult loaded = authz::Load(files);
  if (!loaded.ok()) {
    return InvalidArgument(FormatDiagnostic(loaded.diagnostics.front()));
  }
  v1::ProxyConfiguration to;
  to.set_workload_id(from.workload_id);
  to.set_registration(from.registration);
  to.set_trust_domain(from.trust_domain);
  to.set_audit_socket(from.audit_socket);
  to.set_node_id(from.node_id);
  to.set_has_application_uid(from.application_uid.has_value());
  to.set_application_uid(from.application_uid.value_or(0));
  for (const authz::Service& service : loaded.services) {
    v1::Resource& resource = *to.add_services();
    resource.set_kind("Service");
    resource.set_name(service.name);
    resource.set_document(service.canonical_json);
  }
  for (const authz::Route& route : loaded.routes) {
    v1::Resource& resource = *to.add_routes();
    resource.set_kind("Route");
    resource.set_name(route.name);
    resource.set_document(route.canonical_json);
  }
  for (const auto& set : loaded.sets) {
    v1::PolicySetVersion& version = *to.add_policy_sets();
    version.set_set(set->name);
    version.set_version(1);
    version.set_digest(set->digest);
    for (const std::string& document : set->canonical_documents) {
      version.add_documents(document);
    }
  }
  if (!from.raw_policy_document.empty()) {
    v1::PolicySetVersion& version = *to.add_policy_sets();
    version.set_set("raw");
    version.set_version(1);
    version.set_digest(std::string(64, '0'));
    version.add_documents(from.raw_policy_document);
  }
  return to;
}

}  // namespace

class FakeAgent::Impl {
 public:
  explicit Impl(const std::string& socket_path) : secrets_(state), configs_(state) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
    builder.RegisterService(&secrets_);
    builder.RegisterService(&configs_);
    server_ = builder.BuildAndStart();
    CHECK(server_ != nullptr);
  }
  ~Impl() {
    state.Change([&] { state.stopping = true; });
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  State state;

 private:
  SecretService secrets_;
  ConfigService configs_;
  std::unique_ptr<grpc::Server> server_;
};

std::unique_ptr<FakeAgent> FakeAgent::Start(const std::string& socket_path) {
  return std::unique_ptr<FakeAgent>(new FakeAgent(std::make_unique<Impl>(socket_path)));
}

FakeAgent::FakeAgent(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FakeAgent::~FakeAgent() = default;

void FakeAgent::SetIdentity(std::shared_ptr<const identity::X509Svid> svid,
                            std::shared_ptr<const identity::BundleSet> bundles) {
  State& state = impl_->state;
  state.Change([&] {
    state.svid = std::move(svid);
    state.bundles = std::move(bundles);
    ++state.secrets_version;
  });
}

StatusOr<uint64_t> FakeAgent::SetConfiguration(const FakeConfiguration& configuration) {
  ASSIGN_OR_RETURN(v1::ProxyConfiguration loaded, LoadConfiguration(configuration));
  State& state = impl_->state;
  uint64_t version = 0;
  state.Change([&] {
    version = state.configuration.version() + 1;
    loaded.set_version(version);
    state.configuration = std::move(loaded);
  });
  return version;
}

std::optional<FakeResult> FakeAgent::WaitForResult(const std::function<bool(const FakeResult&)>& is,
                                                   std::chrono::milliseconds patience) {
  State& state = impl_->state;
  std::unique_lock lock(state.mutex);
  const auto answered = [&] { return !state.results.empty() && is(state.results.back()); };
  if (!state.changed.wait_for(lock, patience, answered)) {
    return std::nullopt;
  }
  return state.results.back();
}

std::vector<std::string> FakeAgent::SecretRefusals() const {
  const std::lock_guard lock(impl_->state.mutex);
  return impl_->state.secret_refusals;
}

}  // namespace countersign
