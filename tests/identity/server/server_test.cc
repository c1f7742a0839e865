// The server as agents and administrators meet it: real sockets, real TLS, a real store.
#include "tests/identity/server/server_fixture.h"

namespace countersign::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

TEST_F(ServerTest, AgentJoinsOnceWithATokenAndTheBundlesPin) {
  std::string token = Token("node-1");
  auto stub = v1::NodeAttestation::NewStub(NodeChannel(server_->port(), nullptr));
  grpc::ClientContext context;
  v1::GetBundleResponse bundle;
  ASSERT_TRUE(stub->GetBundle(&context, {}, &bundle).ok());
  EXPECT_EQ(HexLower(Sha256(bundle.bundle())), token_.bundle_sha256());
  Attested first = Attest(server_->port(), token);
  ASSERT_TRUE(first.status.ok()) << first.status.error_message();
  EXPECT_EQ(first.svid->id().str(), "spiffe://shop.example/agent/node-1");
  EXPECT_EQ(first.bundle, bundle.bundle());
  Attested second = Attest(server_->port(), token);
  EXPECT_EQ(second.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Attest(server_->port(), "guess").status.error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServerTest, TokenSurvivesARequestThatCannotBeSigned) {
  std::string token = Token("node-1");
  auto stub = v1::NodeAttestation::NewStub(NodeChannel(server_->port(), nullptr));
  grpc::ClientContext context;
  v1::AttestNodeRequest request;
  request.set_join_token(token);
  request.set_csr("no csr");
  v1::AttestNodeResponse response;
  EXPECT_EQ(stub->AttestNode(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(Attest(server_->port(), token).status.ok());
}

TEST_F(ServerTest, StreamNeedsAnAgentsCertificate) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  auto stub = v1::NodeStream::NewStub(NodeChannel(server_->port(), nullptr));
  auto stream = stub->Connect(&context);
  v1::ServerMessage message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  // A good SVID of the domain, but a workload's.
  Apply(kDocuments);
  auto agent = Join("node-1");
  TestStream agents(server_->port(), *agent);
  agents.Hello();
  agents.NextUpdate();
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  v1::SigningResponse svid = agents.Sign("web", key);
  auto workload =
      identity::X509Svid::Create({svid.svid().begin(), svid.svid().end()}, *key.ToPkcs8Der());
  ASSERT_TRUE(workload.ok()) << workload.status();
  TestStream refused(server_->port(), *workload);
  EXPECT_EQ(refused.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(ServerTest, CertificateOfAnotherAuthorityFailsTheHandshake) {
  TempDir other_folder;
  ServerOptions options;
  options.trust_domain = "shop.example";  // The same name, another key.
  options.data_dir = other_folder.File("data");
  options.listen = "127.0.0.1:0";
  options.admin_socket = other_folder.File("admin.sock");
  auto other = Server::Start(options, Clock::System());
  ASSERT_TRUE(other.ok()) << other.status();
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  auto forged =
      (*other)->issuer().Sign({*identity::SpiffeId::Parse("spiffe://shop.example/agent/node-1"),
                               *identity::MakeCsr(key),
                               std::chrono::hours(1),
                               {}});
  ASSERT_TRUE(forged.ok()) << forged.status();
  auto svid = identity::X509Svid::Create(forged->chain_der, *key.ToPkcs8Der());
  TestStream stream(server_->port(), *svid);
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, AgentIsSentItsOwnNodesDocumentsAndEachChange) {
  Apply(kDocuments);
  TestStream stream(server_->port(), *Join("node-1"));
  stream.Hello();
  v1::Update first = stream.NextUpdate();
  EXPECT_TRUE(first.full());
  EXPECT_THAT(Names(first), UnorderedElementsAre("Registration/web", "TrustBundle/shop.example"));
  v1::Revision applied = Apply(OneRegistration("later")).revision();
  v1::Update second = stream.NextUpdate();
  EXPECT_FALSE(second.full());
  EXPECT_THAT(Names(second), ElementsAre("Registration/later"));
  EXPECT_EQ(second.revision().n(), applied.n());
  EXPECT_TRUE(Delete("registration", "web").ok());
  v1::Update third = stream.NextUpdate();
  ASSERT_EQ(third.remove().size(), 1);
  EXPECT_EQ(third.remove(0).name(), "web");
  // Another node's change is not told; the next own one is.
  EXPECT_TRUE(Delete("registration", "elsewhere").ok());
  Apply(OneRegistration("last"));
  EXPECT_THAT(Names(stream.NextUpdate()), ElementsAre("Registration/last"));
}

TEST_F(ServerTest, AcknowledgementsAreRecordedAtTheirLevel) {
  TestStream stream(server_->port(), *Join("node-1"));
  stream.Hello();
  v1::Revision revision = stream.NextUpdate().revision();
  stream.Ack(revision, v1::Ack::RECEIVED);
  ASSERT_TRUE(Eventually([&] { return OnlyAgent().received().n() == revision.n(); }));
  EXPECT_EQ(OnlyAgent().applied().n(), 0u);
  EXPECT_TRUE(OnlyAgent().connected());
  stream.Ack(revision, static_cast<v1::Ack::Level>(7));
  stream.Ack(revision, v1::Ack::APPLIED);
  ASSERT_TRUE(Eventually([&] { return OnlyAgent().applied().n() == revision.n(); }));
  EXPECT_EQ(OnlyAgent().taken().n(), 0u);  // An unknown level counts for nothing.
  stream.Ack(revision, v1::Ack::TAKEN);
  EXPECT_TRUE(Eventually([&] { return OnlyAgent().taken().n() == revision.n(); }));
  EXPECT_EQ(OnlyAgent().sent().n(), revision.n());
  v1::Revision future = revision;
  future.set_n(1000);
  stream.Ack(future, v1::Ack::TAKEN);
  stream.End();
  EXPECT_TRUE(Eventually([&] { return !OnlyAgent().connected(); }));
  EXPECT_EQ(OnlyAgent().taken().n(), revision.n());
}

TEST_F(ServerTest, ReturningAgentIsSentOnlyWhatChangedSince) {
  Apply(kDocuments);
  auto svid = Join("node-1");
  v1::Revision have;
  {
    TestStream stream(server_->port(), *svid);
    stream.Hello();
    have = stream.NextUpdate().revision();
    stream.Ack(have, v1::Ack::APPLIED);
    stream.End();
  }
  ASSERT_TRUE(Eventually([&] { return !OnlyAgent().connected(); }));
  Apply(OneRegistration("meanwhile"));
  {
    TestStream stream(server_->port(), *svid);
    stream.Hello(have);
    v1::Update update = stream.NextUpdate();
    EXPECT_FALSE(update.full());
    EXPECT_THAT(Names(update), ElementsAre("Registration/meanwhile"));
    have = update.revision();
    stream.End();
  }
  // A restarted server has forgotten what it sent, but nothing has changed since.
  server_.reset();
  StartServer();
  {
    TestStream stream(server_->port(), *svid);
    stream.Hello(have);
    v1::Update update = stream.NextUpdate();
    EXPECT_FALSE(update.full());
    EXPECT_TRUE(update.upsert().empty());
  }
  // Something unknown: everything again.
  TestStream stream(server_->port(), *svid);
  have.set_term(9);
  stream.Hello(have);
  EXPECT_TRUE(stream.NextUpdate().full());
}

TEST_F(ServerTest, SvidsAreSignedForTheNodesOwnRegistrationsOnly) {
  Apply(kDocuments);
  TestStream stream(server_->port(), *Join("node-1"));
  stream.Hello();
  stream.NextUpdate();
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  v1::SigningResponse good = stream.Sign("web", key);
  ASSERT_EQ(good.error(), "");
  auto svid =
      identity::X509Svid::Create({good.svid().begin(), good.svid().end()}, *key.ToPkcs8Der());
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id().str(), "spiffe://shop.example/ns/prod/sa/web");
  auto life = svid->not_after() - Clock::System().Now();
  EXPECT_LE(life, std::chrono::minutes(30));
  EXPECT_GT(life, std::chrono::minutes(29));
  for (const char* other : {"elsewhere", "none"}) {
    v1::SigningResponse refused = stream.Sign(other, key);
    EXPECT_EQ(refused.error_code(), static_cast<int>(grpc::StatusCode::PERMISSION_DENIED));
    EXPECT_TRUE(refused.svid().empty());
  }
}

TEST_F(ServerTest, AgentRenewsItsOwnSvidAndUsesTheNewOne) {
  TestStream stream(server_->port(), *Join("node-1"));
  stream.Hello();
  stream.NextUpdate();
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  v1::SigningResponse renewed = stream.Sign("", key);
  ASSERT_EQ(renewed.error(), "");
  auto svid =
      identity::X509Svid::Create({renewed.svid().begin(), renewed.svid().end()}, *key.ToPkcs8Der());
  ASSERT_TRUE(svid.ok());
  EXPECT_EQ(OnlyAgent().svid_serial(), svid->serial());
  TestStream again(server_->port(), *svid);
  again.Hello();
  EXPECT_TRUE(again.NextUpdate().full());
}

TEST_F(ServerTest, NewerStreamOfAnAgentEndsTheFormer) {
  auto svid = Join("node-1");
  TestStream former(server_->port(), *svid);
  former.Hello();
  former.NextUpdate();
  TestStream newer(server_->port(), *svid);
  newer.Hello();
  newer.NextUpdate();
  EXPECT_FALSE(former.Next().has_value());
  EXPECT_EQ(former.End().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_TRUE(OnlyAgent().connected());
}

TEST_F(ServerTest, RemovedAgentIsCutOffUntilItAttestsAgain) {
  auto svid = Join("node-1");
  TestStream stream(server_->port(), *svid);
  stream.Hello();
  stream.NextUpdate();
  ASSERT_TRUE(Delete("agent", "node-1").ok());
  EXPECT_FALSE(stream.Next().has_value());
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  TestStream again(server_->port(), *svid);
  EXPECT_EQ(again.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  TestStream anew(server_->port(), *Join("node-1"));
  anew.Hello();
  EXPECT_TRUE(anew.NextUpdate().full());
  EXPECT_EQ(Delete("agent", "nobody").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerTest, ProtocolErrorsEndTheStream) {
  auto svid = Join("node-1");
  TestStream early(server_->port(), *svid);
  early.Ack({}, v1::Ack::TAKEN);
  EXPECT_EQ(early.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  TestStream twice(server_->port(), *svid);
  twice.Hello();
  twice.Hello();
  EXPECT_EQ(twice.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  TestStream empty(server_->port(), *svid);
  empty.Send({});
  EXPECT_EQ(empty.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServerTest, ProxiesAreListedAsTheirAgentReportsThem) {
  TestStream stream(server_->port(), *Join("node-1"));
  stream.Hello();
  stream.NextUpdate();
  v1::AgentMessage report;
  v1::ProxyStatus* proxy = report.mutable_proxies()->add_proxies();
  proxy->set_instance("web");
  proxy->set_agent_id("spiffe://shop.example/agent/liar");
  proxy->set_ready(true);
  proxy->set_svid_serial("12ab");
  v1::SetDigest* digest = proxy->add_acknowledged();
  digest->set_set("shop");
  digest->set_version(3);
  stream.Send(report);
  auto list = [&] {
    return Call<v1::ListProxiesResponse>(&v1::Admin::Stub::ListProxies, v1::ListProxiesRequest());
  };
  ASSERT_TRUE(Eventually([&] { return list().proxies().size() == 1; }));
  v1::ListProxiesResponse shown = list();
  EXPECT_EQ(shown.proxies(0).agent_id(), "spiffe://shop.example/agent/node-1");
  EXPECT_EQ(shown.proxies(0).acknowledged(0).version(), 3u);
  EXPECT_TRUE(shown.proxies(0).ready());
  stream.End();
  EXPECT_TRUE(Eventually([&] { return !list().proxies(0).ready(); }));
}

TEST_F(ServerTest, WatchSendsWhatIsThereAndThenEachChange) {
  Apply(OneRegistration("first"));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::WatchRequest request;
  request.set_kind("registration");
  auto reader = admin_->Watch(&context, request);
  v1::WatchEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.type(), v1::WatchEvent::UPSERT);
  EXPECT_EQ(event.resource().name(), "first");
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.type(), v1::WatchEvent::SYNCED);
  Apply(OneRegistration("second"));
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.resource().name(), "second");
  ASSERT_TRUE(Delete("registration", "first").ok());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.type(), v1::WatchEvent::REMOVE);
  EXPECT_EQ(event.resource().name(), "first");
}

TEST_F(ServerTest, RestartKeepsWhatWasAppliedAndTheAuthority) {
  Apply(kDocuments);
  Token("node-1");
  std::string pin = token_.bundle_sha256();
  server_.reset();
  StartServer();
  Token("node-2");
  EXPECT_EQ(token_.bundle_sha256(), pin);
  v1::GetRequest request;
  request.set_kind("registration");
  EXPECT_EQ(Call<v1::GetResponse>(&v1::Admin::Stub::Get, request).resources().size(), 2);
}

// A store that cannot grow refuses changes; what is there is served on.
class FullStoreServerTest : public ServerTest {
 protected:
  FullStoreServerTest() { store_pages_max_ = 40; }
};

TEST_F(FullStoreServerTest, FullDiskRefusesTheApplyAndServesOn) {
  Apply(OneRegistration("kept"));
  auto svid = Join("node-1");
  TestStream stream(server_->port(), *svid);
  stream.Hello();
  stream.NextUpdate();
  grpc::Status full;
  for (int i = 0; full.ok() && i < 200; ++i) {
    v1::ApplyRequest request;
    request.add_files()->set_path("test.yaml");
    std::string yaml;
    for (int k = 0; k < 10; ++k) {
      yaml += OneRegistration(Concat("r", i, "-", k)) + "---";
    }
    request.mutable_files(0)->set_content(yaml.substr(0, yaml.size() - 3));
    Call<v1::ApplyResponse>(&v1::Admin::Stub::Apply, request, &full);
    if (full.ok()) {
      stream.NextUpdate();
    }
  }
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(full.error_message(), HasSubstr("disk is full"));
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  EXPECT_EQ(stream.Sign("kept", key).error(), "");
}

// An agent whose SVID ends is cut off, and its certificate is refused from then on.
class ShortLifeServerTest : public ServerTest {
 protected:
  ShortLifeServerTest() { agent_ttl_ = std::chrono::seconds(2); }
};

TEST_F(ShortLifeServerTest, AgentWithAnExpiredSvidIsCutOff) {
  auto svid = Join("node-1");
  TestStream stream(server_->port(), *svid);
  stream.Hello();
  stream.NextUpdate();
  EXPECT_FALSE(stream.Next().has_value());  // Waits until the server ends it.
  EXPECT_EQ(stream.End().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  TestStream again(server_->port(), *svid);
  EXPECT_EQ(again.End().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace countersign::server
