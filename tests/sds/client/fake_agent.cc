#include "tests/sds/client/fake_agent.h"

#include <thread>

#include "envoy/tls.pb.h"
#include "sds/client/secret_reader.h"

namespace countersign::sds {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;

template <class In, class Out>
grpc::Status ServeStream(grpc::ServerContext* context, ServedStream<In, Out>& served,
                         grpc::ServerReaderWriter<Out, In>* stream) {
  std::thread reader([&] {
    In message;
    while (stream->Read(&message)) {
      served.heard.Put(message);
    }
    served.End();
  });
  while (true) {
    auto message = served.to_say.Take(std::chrono::minutes(5));
    if (!message.has_value() || !message->has_value() || !stream->Write(**message)) {
      break;
    }
  }
  context->TryCancel();  // Ends the reader.
  reader.join();
  return grpc::Status::OK;
}

google::protobuf::Any Pack(const tls::Secret& secret) {
  google::protobuf::Any any;
  any.PackFrom(secret);
  return any;
}

}  // namespace

class FakeAgent::Secrets final
    : public envoy::service::secret::v3::SecretDiscoveryService::Service {
 public:
  grpc::Status StreamSecrets(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<DiscoveryResponse, DiscoveryRequest>* stream) override {
    auto served = std::make_shared<SecretStream>();
    opened.Put(served);
    return ServeStream(context, *served, stream);
  }
  Mailbox<std::shared_ptr<SecretStream>> opened;
};

class FakeAgent::Config final : public v1::ProxyConfig::Service {
 public:
  grpc::Status Stream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ProxyConfiguration, v1::ProxyMessage>* stream) override {
    auto served = std::make_shared<ConfigStream>();
    opened.Put(served);
    return ServeStream(context, *served, stream);
  }
  Mailbox<std::shared_ptr<ConfigStream>> opened;
};

FakeAgent::FakeAgent(const std::string& socket)
    : secrets_(std::make_unique<Secrets>()), config_(std::make_unique<Config>()) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(secrets_.get());
  builder.RegisterService(config_.get());
  server_ = builder.BuildAndStart();
  CHECK(server_ != nullptr);
}

FakeAgent::~FakeAgent() { server_->Shutdown(std::chrono::system_clock::now()); }

std::shared_ptr<FakeAgent::SecretStream> FakeAgent::NextSecretStream() {
  auto stream = secrets_->opened.Take();
  CHECK(stream.has_value());
  return *stream;
}

std::shared_ptr<FakeAgent::ConfigStream> FakeAgent::NextConfigStream() {
  auto stream = config_->opened.Take();
  CHECK(stream.has_value());
  return *stream;
}

google::protobuf::Any SvidResource(const identity::X509Svid& svid) {
  tls::Secret secret;
  secret.set_name(std::string(kSvidSecretName));
  auto& certificate = *secret.mutable_tls_certificate();
  certificate.mutable_certificate_chain()->set_inline_bytes(svid.ChainPem());
  certificate.mutable_private_key()->set_inline_bytes(svid.KeyPem());
  return Pack(secret);
}

google::protobuf::Any BundlesResource(const identity::BundleSet& bundles) {
  tls::SPIFFECertValidatorConfig config;
  for (const auto& [name, bundle] : bundles.all()) {
    auto& domain = *config.add_trust_domains();
    domain.set_name(name);
    domain.mutable_trust_bundle()->set_inline_bytes(bundle->AuthoritiesPem());
  }
  tls::Secret secret;
  secret.set_name(std::string(kBundlesSecretName));
  auto& validator = *secret.mutable_validation_context()->mutable_custom_validator_config();
  validator.set_name("envoy.tls.cert_validator.spiffe");
  validator.mutable_typed_config()->PackFrom(config);
  return Pack(secret);
}

DiscoveryResponse ResponseWith(const Stamp& stamp, std::vector<google::protobuf::Any> resources) {
  DiscoveryResponse response;
  response.set_type_url(std::string(kSecretTypeUrl));
  response.set_version_info(stamp.version);
  response.set_nonce(stamp.nonce);
  for (google::protobuf::Any& resource : resources) {
    *response.add_resources() = std::move(resource);
  }
  return response;
}

}  // namespace countersign::sds
