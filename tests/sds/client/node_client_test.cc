#include "sds/client/node_client.h"

#include <gtest/gtest.h>

#include "envoy/tls.pb.h"
#include "sds/client/secret_reader.h"
#include "tests/sds/client/fake_agent.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"

namespace countersign::sds {
namespace {

using namespace std::chrono_literals;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using identity::BundleSet;
using identity::X509Svid;

struct Identity {
  std::shared_ptr<const X509Svid> svid;
  std::shared_ptr<const BundleSet> bundles;
};

// ScriptedObserver keeps what it is offered and answers as told.
class ScriptedObserver final : public NodeObserver {
 public:
  Status OnIdentity(std::shared_ptr<const X509Svid> svid,
                    std::shared_ptr<const BundleSet> bundles) override {
    std::lock_guard lock(mutex_);
    identities.Put({std::move(svid), std::move(bundles)});
    return identity_answer_;
  }
  Status OnConfiguration(ProxyConfigSnapshot snapshot) override {
    std::lock_guard lock(mutex_);
    configurations.Put(std::move(snapshot));
    return configuration_answer_;
  }
  void AnswerIdentity(Status status) {
    std::lock_guard lock(mutex_);
    identity_answer_ = std::move(status);
  }
  void AnswerConfiguration(Status status) {
    std::lock_guard lock(mutex_);
    configuration_answer_ = std::move(status);
  }
  Mailbox<Identity> identities;
  Mailbox<ProxyConfigSnapshot> configurations;

 private:
  std::mutex mutex_;
  Status identity_answer_;
  Status configuration_answer_;
};

class NodeClientTest : public testing::Test {
 protected:
  void Start() { client_ = NodeClient::Start({folder_.File("agent"), "web-1", "0.1"}, observer_); }
  // Supplied starts both sides and brings the first identity.
  std::shared_ptr<FakeAgent::SecretStream> Supplied() {
    agent_ = std::make_unique<FakeAgent>(folder_.File("agent"));
    Start();
    auto stream = agent_->NextSecretStream();
    CHECK(stream->heard.Take().has_value());
    stream->Say(
        ResponseWith({"1", "n1"}, {SvidResource(*ca_.Svid("/web")), BundlesResource(*bundles_)}));
    CHECK(stream->heard.Take()->error_detail().code() == 0);
    CHECK(observer_.identities.Take().has_value());
    return stream;
  }
  // RefusalOf sends one response on a supplied stream and gives the text of its refusal; empty when
  // it was acknowledged.
  static std::string RefusalOf(FakeAgent::SecretStream& stream, DiscoveryResponse response) {
    response.set_version_info("2");
    response.set_nonce("n2");
    stream.Say(std::move(response));
    std::optional<DiscoveryRequest> answer = stream.heard.Take();
    CHECK(answer.has_value());
    EXPECT_EQ(answer->response_nonce(), "n2");
    EXPECT_EQ(answer->version_info(), answer->has_error_detail() ? "1" : "2");
    return answer->error_detail().message();
  }
  bool IdentityWasOffered() { return observer_.identities.Take(0ms).has_value(); }

  TestCa ca_;
  std::shared_ptr<const BundleSet> bundles_ = ca_.Bundles();
  TempDir folder_;
  ScriptedObserver observer_;
  std::unique_ptr<FakeAgent> agent_;
  std::unique_ptr<NodeClient> client_;
};

TEST_F(NodeClientTest, IdentityAndBundlesArriveTogetherAndAreAcknowledged) {
  agent_ = std::make_unique<FakeAgent>(folder_.File("agent"));
  Start();
  auto stream = agent_->NextSecretStream();
  std::optional<DiscoveryRequest> first = stream->heard.Take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->node().id(), "web-1");
  EXPECT_EQ(first->type_url(), kSecretTypeUrl);
  EXPECT_EQ(first->response_nonce(), "");
  ASSERT_EQ(first->resource_names_size(), 2);
  std::shared_ptr<const X509Svid> svid = ca_.Svid("/web");
  stream->Say(ResponseWith({"v1", "n1"}, {SvidResource(*svid)}));
  std::optional<DiscoveryRequest> answer = stream->heard.Take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->has_error_detail()) << answer->error_detail().message();
  EXPECT_EQ(answer->version_info(), "v1");
  EXPECT_EQ(answer->response_nonce(), "n1");
  EXPECT_FALSE(IdentityWasOffered());  // Half an identity is none.
  stream->Say(ResponseWith({"v2", "n2"}, {BundlesResource(*bundles_)}));
  answer = stream->heard.Take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->version_info(), "v2");
  std::optional<Identity> identity = observer_.identities.Take();
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->svid->chain_der(), svid->chain_der());
  EXPECT_EQ(identity->bundles->Find("shop.example")->authorities_der(),
            ca_.Bundle()->authorities_der());
}

TEST_F(NodeClientTest, ARotationBringsTheNewSvidWithTheOldBundles) {
  auto stream = Supplied();
  std::shared_ptr<const X509Svid> next = ca_.Svid("/web");
  EXPECT_EQ(RefusalOf(*stream, ResponseWith({}, {SvidResource(*next)})), "");
  std::optional<Identity> identity = observer_.identities.Take();
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->svid->serial(), next->serial());
  EXPECT_EQ(identity->bundles->all().size(), 1u);
}

TEST_F(NodeClientTest, TheSameContentAgainIsAcknowledgedAndNotOffered) {
  auto stream = Supplied();
  EXPECT_EQ(RefusalOf(*stream, ResponseWith({}, {BundlesResource(*bundles_)})), "");
  EXPECT_FALSE(IdentityWasOffered());
}

TEST_F(NodeClientTest, ABundleThatDropsOurOwnAuthorityIsARevocationAndIsTaken) {
  auto stream = Supplied();
  TestCa other("other.example");
  EXPECT_EQ(RefusalOf(*stream, ResponseWith({}, {BundlesResource(*other.Bundles())})), "");
  std::optional<Identity> identity = observer_.identities.Take();
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(identity->bundles->Find("shop.example"), nullptr);
}

TEST_F(NodeClientTest, MalformedSecretsAreRefusedWholeAndTheLastGoodStays) {
  auto stream = Supplied();
  google::protobuf::Any good = SvidResource(*ca_.Svid("/web"));
  tls::Secret mixed;
  ASSERT_TRUE(good.UnpackTo(&mixed));
  mixed.mutable_tls_certificate()->mutable_private_key()->set_inline_bytes(TestKey().Pkcs8Pem());
  google::protobuf::Any wrong_key;
  wrong_key.PackFrom(mixed);
  mixed.mutable_tls_certificate()->mutable_private_key()->set_filename("/etc/shadow");
  google::protobuf::Any by_file;
  by_file.PackFrom(mixed);
  mixed.set_name("other");
  google::protobuf::Any unasked;
  unasked.PackFrom(mixed);
  google::protobuf::Any plain_context;
  tls::Secret plain;
  plain.set_name("ALL");
  plain.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(ca_.root_pem());
  plain_context.PackFrom(plain);
  google::protobuf::Any another_type;
  another_type.PackFrom(mixed.tls_certificate());
  struct Row {
    const char* name;
    std::vector<google::protobuf::Any> resources;
  };
  for (Row& row : std::vector<Row>{{"no secret", {}},
                                   {"the same secret twice", {good, good}},
                                   {"another key", {wrong_key}},
                                   {"a key by file name", {by_file}},
                                   {"a secret nobody asked for", {unasked}},
                                   {"good beside bad", {good, unasked}},
                                   {"authorities without domains", {plain_context}},
                                   {"another type", {another_type}}}) {
    SCOPED_TRACE(row.name);
    EXPECT_NE(RefusalOf(*stream, ResponseWith({}, row.resources)), "");
    EXPECT_FALSE(IdentityWasOffered());
  }
  DiscoveryResponse other_type = ResponseWith({}, {good});
  other_type.set_type_url("type.googleapis.com/other");
  EXPECT_NE(RefusalOf(*stream, other_type), "");
  // The stream is as usable as before.
  EXPECT_EQ(RefusalOf(*stream, ResponseWith({}, {good})), "");
  EXPECT_TRUE(IdentityWasOffered());
}

TEST_F(NodeClientTest, AnExpiredSvidIsRefused) {
  auto stream = Supplied();
  EXPECT_NE(RefusalOf(*stream, ResponseWith({}, {SvidResource(*ca_.Svid("/web", -1s))})), "");
}

TEST_F(NodeClientTest, TheObserversRefusalReachesTheAgent) {
  auto stream = Supplied();
  observer_.AnswerIdentity(FailedPrecondition("no worker took it"));
  google::protobuf::Any next = SvidResource(*ca_.Svid("/web"));
  EXPECT_EQ(RefusalOf(*stream, ResponseWith({}, {next})), "no worker took it");
  observer_.AnswerIdentity(absl::OkStatus());
  ASSERT_TRUE(observer_.identities.Take().has_value());
  EXPECT_EQ(RefusalOf(*stream, ResponseWith({}, {next})), "");  // Offered again.
  EXPECT_TRUE(IdentityWasOffered());
}

v1::ProxyConfiguration Configuration(uint64_t version) {
  v1::ProxyConfiguration configuration;
  configuration.set_version(version);
  configuration.set_workload_id("spiffe://shop.example/web");
  configuration.set_registration("web");
  configuration.set_has_application_uid(true);
  configuration.set_application_uid(0);
  auto& service = *configuration.add_services();
  service.set_kind("Service");
  service.set_name("orders");
  service.set_document("{}");
  auto& set = *configuration.add_policy_sets();
  set.set_set("shop");
  set.set_version(3);
  set.set_digest("ab");
  set.add_documents("{\"kind\":\"PolicySet\"}");
  return configuration;
}

TEST_F(NodeClientTest, AConfigurationIsHandedOnAndAcknowledgedWithWhatRuns) {
  auto secrets = Supplied();
  auto stream = agent_->NextConfigStream();
  std::optional<v1::ProxyMessage> hello = stream->heard.Take();
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->hello().instance(), "web-1");
  stream->Say(Configuration(7));
  std::optional<ProxyConfigSnapshot> snapshot = observer_.configurations.Take();
  ASSERT_TRUE(snapshot.has_value());
  EXPECT_EQ(snapshot->workload_id, "spiffe://shop.example/web");
  EXPECT_EQ(snapshot->application_uid, 0u);
  EXPECT_EQ(snapshot->services.at(0).name, "orders");
  EXPECT_EQ(snapshot->policy_sets.at(0).documents.at(0), "{\"kind\":\"PolicySet\"}");
  std::optional<v1::ProxyMessage> result = stream->heard.Take();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->result().config_version(), 7u);
  EXPECT_EQ(result->result().refused(), "");
  EXPECT_FALSE(result->result().ready());
  EXPECT_EQ(result->result().acknowledged(0).digest(), "ab");
  EXPECT_FALSE(result->result().svid_serial().empty());
  client_->ReportResult({.ready = true});
  result = stream->heard.Take();
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->result().ready());
  EXPECT_EQ(result->result().config_version(), 7u);
}

TEST_F(NodeClientTest, ARefusedConfigurationNamesWhyAndWhatRunsInstead) {
  auto secrets = Supplied();
  auto stream = agent_->NextConfigStream();
  ASSERT_TRUE(stream->heard.Take().has_value());
  stream->Say(Configuration(1));
  ASSERT_TRUE(stream->heard.Take().has_value());
  observer_.AnswerConfiguration(InvalidArgument("web.yaml:1: unknown key"));
  v1::ProxyConfiguration next = Configuration(2);
  next.mutable_policy_sets(0)->set_digest("cd");
  stream->Say(next);
  std::optional<v1::ProxyMessage> result = stream->heard.Take();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->result().config_version(), 2u);
  EXPECT_EQ(result->result().refused(), "web.yaml:1: unknown key");
  EXPECT_EQ(result->result().acknowledged(0).digest(), "ab");
}

TEST_F(NodeClientTest, AConfigurationThatTheHostRefusedIsTriedAgain) {
  auto secrets = Supplied();
  auto stream = agent_->NextConfigStream();
  ASSERT_TRUE(stream->heard.Take().has_value());
  observer_.AnswerConfiguration(FailedPrecondition("listen on 127.0.0.1:1: in use"));
  stream->Say(Configuration(1));
  std::optional<v1::ProxyMessage> result = stream->heard.Take();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->result().refused(), "listen on 127.0.0.1:1: in use");
  observer_.AnswerConfiguration(absl::OkStatus());
  result = stream->heard.Take();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->result().config_version(), 1u);
  EXPECT_EQ(result->result().refused(), "");
  EXPECT_EQ(result->result().acknowledged(0).digest(), "ab");
}

TEST_F(NodeClientTest, TheAgentMayComeLater) {
  Start();
  agent_ = std::make_unique<FakeAgent>(folder_.File("agent"));
  auto stream = agent_->NextSecretStream();
  EXPECT_TRUE(stream->heard.Take().has_value());
  EXPECT_TRUE(agent_->NextConfigStream()->heard.Take().has_value());
}

TEST_F(NodeClientTest, ALostAgentIsDialledAgainAndTheIdentityStays) {
  auto stream = Supplied();
  auto config = agent_->NextConfigStream();
  ASSERT_TRUE(config->heard.Take().has_value());
  config->Say(Configuration(9));
  ASSERT_TRUE(config->heard.Take().has_value());
  client_->ReportResult({.ready = true});
  ASSERT_TRUE(config->heard.Take()->result().ready());
  agent_.reset();
  agent_ = std::make_unique<FakeAgent>(folder_.File("agent"));
  stream = agent_->NextSecretStream();
  std::optional<DiscoveryRequest> first = stream->heard.Take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->version_info(), "");
  EXPECT_EQ(first->node().id(), "web-1");
  stream->Say(ResponseWith({"1", "n1"}, {BundlesResource(*bundles_)}));
  EXPECT_FALSE(stream->heard.Take()->has_error_detail());
  EXPECT_FALSE(IdentityWasOffered());
  // The new agent counts from one again and is told the standing state with its own number only.
  config = agent_->NextConfigStream();
  EXPECT_TRUE(config->heard.Take()->has_hello());
  config->Say(Configuration(1));
  std::optional<v1::ProxyMessage> result = config->heard.Take();
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->result().config_version(), 1u);
  EXPECT_TRUE(result->result().ready());
}

TEST_F(NodeClientTest, AStreamThatTheAgentEndsIsOpenedAgain) {
  auto stream = Supplied();
  stream->End();
  stream = agent_->NextSecretStream();
  EXPECT_TRUE(stream->heard.Take().has_value());
}

TEST_F(NodeClientTest, ItEndsWhileNobodyAnswers) {
  Start();
  client_.reset();  // Returns; the test's time limit is the check.
}

}  // namespace
}  // namespace countersign::sds
