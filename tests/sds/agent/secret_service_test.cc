#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/tls.pb.h"
#include "identity/certificate.h"
#include "sds/agent/secrets.h"
#include "tests/sds/agent/running_agent.h"

namespace countersign::agent {
namespace {

namespace discovery = envoy::service::discovery::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using ::testing::ElementsAre;

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";
constexpr std::string_view kWorkerId = "spiffe://shop.example/ns/prod/sa/worker";

// SecretStream is one StreamSecrets with the habits of Envoy.
class SecretStream {
 public:
  explicit SecretStream(const RunningAgent& agent)
      : stub_(envoy::service::secret::v3::SecretDiscoveryService::NewStub(agent.Connect())) {
    call_.set_deadline(std::chrono::system_clock::now() + kPatience);
    stream_ = stub_->StreamSecrets(&call_);
  }
  ~SecretStream() {
    call_.TryCancel();
    End();
  }

  void Ask(const std::vector<std::string>& names) {
    discovery::DiscoveryRequest request = Request(names);
    request.set_response_nonce(response.nonce());
    stream_->Write(request);
  }
  void Refuse(const std::vector<std::string>& names) {
    discovery::DiscoveryRequest request = Request(names);
    request.set_response_nonce(response.nonce());
    request.mutable_error_detail()->set_message("I do not like it");
    stream_->Write(request);
  }
  void AskForType(const std::string& type_url) {
    discovery::DiscoveryRequest request;
    request.set_type_url(type_url);
    stream_->Write(request);
  }
  void AskWithNonce(const std::vector<std::string>& names, const std::string& nonce) {
    discovery::DiscoveryRequest request = Request(names);
    request.set_response_nonce(nonce);
    stream_->Write(request);
  }
  // Next reads one response; false at the end of the stream.
  bool Next() {
    secrets.clear();
    if (!stream_->Read(&response)) {
      return false;
    }
    for (const auto& resource : response.resources()) {
      EXPECT_EQ(resource.type_url(), kSecretTypeUrl);
      tls::Secret secret;
      EXPECT_TRUE(resource.UnpackTo(&secret));
      secrets[secret.name()] = secret;
    }
    return true;
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, secret] : secrets) {
      names.push_back(name);
    }
    return names;
  }
  grpc::Status End() {
    if (!status_) {
      discovery::DiscoveryResponse ignored;
      while (stream_->Read(&ignored)) {
      }
      status_ = stream_->Finish();
    }
    return *status_;
  }

  discovery::DiscoveryResponse response;
  std::map<std::string, tls::Secret> secrets;

 private:
  discovery::DiscoveryRequest Request(const std::vector<std::string>& names) const {
    discovery::DiscoveryRequest request;
    request.set_type_url(std::string(kSecretTypeUrl));
    request.set_version_info(response.version_info());
    for (const std::string& name : names) {
      request.add_resource_names(name);
    }
    return request;
  }
  std::unique_ptr<envoy::service::secret::v3::SecretDiscoveryService::Stub> stub_;
  grpc::ClientContext call_;
  std::unique_ptr<
      grpc::ClientReaderWriter<discovery::DiscoveryRequest, discovery::DiscoveryResponse>>
      stream_;
  std::optional<grpc::Status> status_;
};

class SecretServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.Put("Registration", "web", RegistrationDocument("web", kWebId));
    ASSERT_TRUE(agent_.Start().ok());
    ASSERT_TRUE(Applied());
  }
  bool Applied() { return server_.WaitForAck(v1::Ack::APPLIED, server_.revision()); }
  FakeServer server_;
  RunningAgent agent_{server_};
};

TEST_F(SecretServiceTest, ServesACertificateWithItsKeyAsPem) {
  SecretStream stream(agent_);
  stream.Ask({"default"});
  ASSERT_TRUE(stream.Next());
  ASSERT_THAT(stream.Names(), ElementsAre("default"));
  const tls::TlsCertificate& certificate = stream.secrets["default"].tls_certificate();
  auto svid = identity::X509Svid::FromPem(certificate.certificate_chain().inline_bytes(),
                                          certificate.private_key().inline_bytes());
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id().str(), kWebId);
}

TEST_F(SecretServiceTest, ServesEveryNameTogetherInOneStream) {
  SecretStream stream(agent_);
  std::vector<std::string> names = {"ALL", "ROOTCA", std::string(kWebId), "spiffe://shop.example"};
  stream.Ask(names);
  ASSERT_TRUE(stream.Next());
  // The SVID may still be being signed; then it comes by itself.
  std::map<std::string, tls::Secret> all = stream.secrets;
  while (all.size() < names.size()) {
    stream.Ask(names);
    ASSERT_TRUE(stream.Next());
    all.insert(stream.secrets.begin(), stream.secrets.end());
  }
  std::string root = server_.bundle().AuthoritiesPem();
  EXPECT_EQ(all["ROOTCA"].validation_context().trusted_ca().inline_bytes(), root);
  EXPECT_EQ(all["spiffe://shop.example"].validation_context().trusted_ca().inline_bytes(), root);
  const auto& validator = all["ALL"].validation_context().custom_validator_config();
  EXPECT_EQ(validator.name(), "envoy.tls.cert_validator.spiffe");
  tls::SPIFFECertValidatorConfig config;
  ASSERT_TRUE(validator.typed_config().UnpackTo(&config));
  EXPECT_EQ(validator.typed_config().type_url(),
            "type.googleapis.com/"
            "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig");
  ASSERT_EQ(config.trust_domains_size(), 1);
  EXPECT_EQ(config.trust_domains(0).name(), "shop.example");
  EXPECT_EQ(config.trust_domains(0).trust_bundle().inline_bytes(), root);
}

// The authorities under a name: Envoy's SPIFFE validator of `ALL`, or one domain's.
std::string AuthoritiesOf(const tls::Secret& secret) {
  tls::SPIFFECertValidatorConfig config;
  const auto& context = secret.validation_context();
  if (!context.custom_validator_config().typed_config().UnpackTo(&config)) {
    return context.trusted_ca().inline_bytes();
  }
  return config.trust_domains_size() == 1 && config.trust_domains(0).name() == "shop.example"
             ? config.trust_domains(0).trust_bundle().inline_bytes()
             : "";
}

TEST_F(SecretServiceTest, WithdrawsTrustWhenTheLastAuthorityIsGone) {
  SecretStream stream(agent_);
  std::vector<std::string> names = {"ALL", "ROOTCA", "spiffe://shop.example"};
  stream.Ask(names);
  ASSERT_TRUE(stream.Next());
  ASSERT_EQ(AuthoritiesOf(stream.secrets["ALL"]), server_.bundle().AuthoritiesPem());
  stream.Ask(names);
  std::string stand_in;
  for (bool removed : {false, true}) {
    if (removed) {
      server_.Put("TrustBundle", "shop.example", server_.bundle().ToJson());
      ASSERT_TRUE(stream.Next());
      stream.Ask(names);
      server_.Remove("TrustBundle", "shop.example");
    } else {
      server_.Put("TrustBundle", "shop.example", R"({"keys":[]})");
    }
    ASSERT_TRUE(stream.Next());
    stream.Ask(names);
    EXPECT_EQ(stream.Names(), names);
    for (auto& [name, secret] : stream.secrets) {
      // Not empty, or Envoy would refuse it and keep what it trusts; and nobody verifies by it.
      std::string pem = AuthoritiesOf(secret);
      auto bundle = identity::TrustBundle::FromPem(server_.bundle().trust_domain(), pem);
      ASSERT_TRUE(bundle.ok()) << name << ": " << bundle.status();
      ASSERT_EQ(bundle->authorities_der().size(), 1u) << name;
      EXPECT_EQ(pem.find(server_.bundle().AuthoritiesPem()), std::string::npos) << name;
      stand_in = stand_in.empty() ? pem : stand_in;
      EXPECT_EQ(pem, stand_in) << name;
      X509Ptr authority = identity::DecodeCertificate(bundle->authorities_der().front());
      EXPECT_LT(identity::NotAfter(authority.get()), Clock::System().Now());
    }
  }
}

// Of the identities of one caller the one with which it may be configured comes first, whatever the
// registrations are called.
TEST_F(SecretServiceTest, DefaultIsTheProxysIdentityBeforeAnother) {
  server_.Put("Registration", "a-copy", RegistrationDocument("a-copy", kWorkerId));
  server_.Put("Registration", "web", RegistrationDocument("web", kWebId, R"("proxy":{})"));
  ASSERT_TRUE(Applied());
  SecretStream stream(agent_);
  stream.Ask({"default"});
  const auto id = [&] {
    const tls::TlsCertificate& certificate = stream.secrets["default"].tls_certificate();
    auto svid = identity::X509Svid::FromPem(certificate.certificate_chain().inline_bytes(),
                                            certificate.private_key().inline_bytes());
    return svid.ok() ? (*svid).id().str() : "";
  };
  // Its SVID may be signed after the other's.
  do {
    ASSERT_TRUE(stream.Next());
    stream.Ask({"default"});
  } while (id() != kWebId);
}

TEST_F(SecretServiceTest, IsSilentAboutUnknownNamesUntilTheyAreKnown) {
  SecretStream stream(agent_);
  stream.Ask({"default", std::string(kWorkerId), "file-root:system"});
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre("default"));
  stream.Ask({"default", std::string(kWorkerId), "file-root:system"});
  server_.Put("Registration", "worker", RegistrationDocument("worker", kWorkerId));
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre(std::string(kWorkerId)));
}

TEST_F(SecretServiceTest, SendsOnlyWhatChanged) {
  SecretStream stream(agent_);
  stream.Ask({"ROOTCA", "default"});
  ASSERT_TRUE(stream.Next());
  while (stream.secrets.count("default") == 0) {
    stream.Ask({"ROOTCA", "default"});
    ASSERT_TRUE(stream.Next());
  }
  std::string version = stream.response.version_info();
  stream.Ask({"ROOTCA", "default"});
  server_.Put("Registration", "web",
              RegistrationDocument("web", kWebId, R"("svid":{"ttl":"30m"})"));
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre("default"));
  EXPECT_NE(stream.response.version_info(), version);
}

TEST_F(SecretServiceTest, AnswersAGrownListWithTheNewNamesOnly) {
  SecretStream stream(agent_);
  stream.Ask({"default"});
  ASSERT_TRUE(stream.Next());
  stream.Ask({"default", "ROOTCA"});
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre("ROOTCA"));
}

TEST_F(SecretServiceTest, SendsAgainWhatWasUnsubscribedAndAskedAgain) {
  SecretStream stream(agent_);
  stream.Ask({"ROOTCA"});
  ASSERT_TRUE(stream.Next());
  stream.Ask({});
  stream.Ask({"ROOTCA"});
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre("ROOTCA"));
}

TEST_F(SecretServiceTest, IgnoresARequestWithAStaleNonce) {
  SecretStream stream(agent_);
  stream.Ask({"ROOTCA"});
  ASSERT_TRUE(stream.Next());
  stream.AskWithNonce({"ROOTCA", "default"}, "not-a-nonce-of-yours");
  stream.Ask({"ROOTCA", "ALL"});
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre("ALL"));
}

TEST_F(SecretServiceTest, DoesNotSendAgainWhatWasRefused) {
  SecretStream stream(agent_);
  stream.Ask({"ROOTCA"});
  ASSERT_TRUE(stream.Next());
  stream.Refuse({"ROOTCA"});
  stream.Ask({"ROOTCA", "ALL"});
  ASSERT_TRUE(stream.Next());
  EXPECT_THAT(stream.Names(), ElementsAre("ALL"));
}

TEST_F(SecretServiceTest, TakesAnEmptyFirstListAsEverything) {
  SecretStream stream(agent_);
  stream.Ask({});
  std::map<std::string, tls::Secret> all;
  while (all.size() < 2) {
    ASSERT_TRUE(stream.Next());
    all.insert(stream.secrets.begin(), stream.secrets.end());
    stream.Ask({});
  }
  EXPECT_EQ(all.count(std::string(kWebId)), 1u);
  EXPECT_EQ(all.count("spiffe://shop.example"), 1u);
}

TEST_F(SecretServiceTest, RefusesOtherTypesAndTooManyNames) {
  SecretStream many(agent_);
  many.Ask(std::vector<std::string>(65, "default"));
  EXPECT_EQ(many.End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  SecretStream long_name(agent_);
  long_name.Ask({std::string(2049, 'x')});
  EXPECT_EQ(long_name.End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  SecretStream other(agent_);
  other.AskForType("type.googleapis.com/envoy.config.listener.v3.Listener");
  EXPECT_EQ(other.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(SecretServiceTest, IsTakenOnlyWhenEverySubscriberAcknowledged) {
  SecretStream stream(agent_);
  stream.Ask({"default"});
  ASSERT_TRUE(stream.Next());
  stream.Ask({"default"});
  ASSERT_TRUE(server_.WaitForAck(v1::Ack::TAKEN, server_.revision()));

  // Another SVID is in the stream's way: the next revision is applied, but not taken.
  Revision before = server_.revision();
  server_.Put("Registration", "web",
              RegistrationDocument("web", kWebId, R"("svid":{"ttl":"30m"})"));
  ASSERT_TRUE(stream.Next());
  server_.Put("Registration", "other",
              RegistrationDocument("other", kWorkerId, R"("selectors":{"unix":{"uid":64999}})"));
  ASSERT_TRUE(Applied());
  EXPECT_FALSE(server_.HasAck(v1::Ack::TAKEN, server_.revision()));
  EXPECT_TRUE(server_.HasAck(v1::Ack::TAKEN, before));
  stream.Ask({"default"});
  EXPECT_TRUE(server_.WaitForAck(v1::Ack::TAKEN, server_.revision()));
}

TEST_F(SecretServiceTest, ClosesAStreamThatDoesNotAcknowledge) {
  agent_.Stop();
  agent_.options().limits.subscriber_silence_max = std::chrono::milliseconds(300);
  ASSERT_TRUE(agent_.Start().ok());
  SecretStream silent(agent_);
  silent.Ask({"ROOTCA"});
  ASSERT_TRUE(silent.Next());
  EXPECT_FALSE(silent.Next());
}

TEST_F(SecretServiceTest, FetchesOnce) {
  auto stub = envoy::service::secret::v3::SecretDiscoveryService::NewStub(agent_.Connect());
  discovery::DiscoveryRequest request;
  request.add_resource_names("ROOTCA");
  request.add_resource_names("nobody-knows-this");
  discovery::DiscoveryResponse response;
  grpc::ClientContext call;
  ASSERT_TRUE(stub->FetchSecrets(&call, request, &response).ok());
  EXPECT_EQ(response.resources_size(), 1);
}

TEST_F(SecretServiceTest, LimitsTheStreamsOfOneUser) {
  agent_.Stop();
  agent_.options().limits.streams_per_uid_max = 2;
  ASSERT_TRUE(agent_.Start().ok());
  SecretStream first(agent_);
  SecretStream second(agent_);
  first.Ask({"ROOTCA"});
  second.Ask({"ROOTCA"});
  ASSERT_TRUE(first.Next());
  ASSERT_TRUE(second.Next());
  SecretStream third(agent_);
  third.Ask({"ROOTCA"});
  EXPECT_EQ(third.End().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  first.Ask({"ROOTCA", "ALL"});
  EXPECT_TRUE(first.Next());  // The others are unharmed.
}

}  // namespace
}  // namespace countersign::agent
