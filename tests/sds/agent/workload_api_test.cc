#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/peer_verifier.h"
#include "tests/sds/agent/running_agent.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";

// SvidStream lasts until `read` is what it waits for, or the patience ends.
grpc::Status FirstStatus(const RunningAgent& agent) { return SvidStream(agent).Finish(); }

TEST(WorkloadApiTest, ServesTheFirstSvidOfARegisteredCaller) {
  FakeServer server;
  server.Put("Registration", "web",
             RegistrationDocument("web", kWebId, R"("svid":{"hint":"main"})"));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));

  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  ASSERT_EQ(stream.response.svids_size(), 1);
  const X509SVID& svid = stream.response.svids(0);
  EXPECT_EQ(svid.spiffe_id(), kWebId);
  EXPECT_EQ(svid.hint(), "main");
  EXPECT_EQ(svid.bundle(), server.bundle().authorities_der()[0]);
  // One certificate here, so the concatenation is the leaf; key and leaf must fit.
  StatusOr<identity::X509Svid> parsed =
      identity::X509Svid::Create({svid.x509_svid()}, svid.x509_svid_key());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->id().str(), kWebId);
}

TEST(WorkloadApiTest, RefusesACallWithoutTheSecurityHeader) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  auto stub = agent.WorkloadApi();
  for (const char* value : {"", "True", "false"}) {
    grpc::ClientContext call;
    if (*value != 0) {
      call.AddMetadata("workload.spiffe.io", value);
    }
    auto reader = stub->FetchX509SVID(&call, X509SVIDRequest());
    X509SVIDResponse response;
    EXPECT_FALSE(reader->Read(&response));
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT) << value;
  }
}

TEST(WorkloadApiTest, DeniesACallerWithoutRegistrationUntilThereIsOne) {
  FakeServer server;
  server.Put("Registration", "other",
             RegistrationDocument("other", kWebId, R"("selectors":{"unix":{"uid":64999}})"));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  EXPECT_EQ(FirstStatus(agent).error_code(), grpc::StatusCode::PERMISSION_DENIED);

  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  EXPECT_EQ(stream.response.svids(0).spiffe_id(), kWebId);
}

TEST(WorkloadApiTest, EndsTheStreamWhenTheRegistrationGoes) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  server.Remove("Registration", "web");
  EXPECT_FALSE(stream.Next());
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST(WorkloadApiTest, PushesARenewedSvidBeforeTheOldOneExpires) {
  FakeServer server;
  server.SetSvidTtl(std::chrono::seconds(3));
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  X509SVID first = stream.response.svids(0);
  ASSERT_TRUE(stream.Next());
  X509SVID second = stream.response.svids(0);
  EXPECT_NE(first.x509_svid_key(), second.x509_svid_key());
  auto old = identity::X509Svid::Create({first.x509_svid()}, first.x509_svid_key());
  ASSERT_TRUE(old.ok());
  EXPECT_LT(Clock::System().Now(), old->not_after());
}

TEST(WorkloadApiTest, SignsAgainAtOnceWhenTheRegistrationChangesItsSvid) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  std::string first = stream.response.svids(0).x509_svid();
  server.Put("Registration", "web", RegistrationDocument("web", kWebId, R"("svid":{"ttl":"30m"})"));
  ASSERT_TRUE(stream.Next());
  EXPECT_NE(stream.response.svids(0).x509_svid(), first);
}

TEST(WorkloadApiTest, NeverServesAnExpiredSvid) {
  FakeServer server;
  server.SetSvidTtl(std::chrono::seconds(2));
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  server.RefuseSigning("closed today");
  // The stream ends when the last SVID expires and no other could be had.
  while (stream.Next()) {
  }
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(WorkloadApiTest, AnswersUnavailableWhileTheServerSignsNothing) {
  FakeServer server;
  server.RefuseSigning("closed today");
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  agent.options().limits.first_svid_wait_max = std::chrono::milliseconds(10);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  EXPECT_EQ(FirstStatus(agent).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(WorkloadApiTest, ServesBundlesByTrustDomain) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForAck(v1::Ack::APPLIED, server.revision()));
  auto stub = agent.WorkloadApi();
  auto call = WorkloadCall();
  auto reader = stub->FetchX509Bundles(call.get(), X509BundlesRequest());
  X509BundlesResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.bundles().count("spiffe://shop.example"), 1u);
  EXPECT_EQ(response.bundles().at("spiffe://shop.example"), server.bundle().authorities_der()[0]);
  call->TryCancel();
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_FALSE(reader->Finish().ok());
}

TEST(WorkloadApiTest, WithdrawsTrustWhenTheLastAuthorityIsGone) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  SvidStream svids(agent);
  ASSERT_TRUE(svids.Next());
  auto stub = agent.WorkloadApi();
  auto call = WorkloadCall();
  auto reader = stub->FetchX509Bundles(call.get(), X509BundlesRequest());
  X509BundlesResponse bundles;
  ASSERT_TRUE(reader->Read(&bundles));
  server.Put("TrustBundle", "shop.example", R"({"keys":[]})");
  ASSERT_TRUE(svids.Next());
  ASSERT_TRUE(reader->Read(&bundles));
  std::string told = svids.response.svids(0).bundle();
  EXPECT_EQ(bundles.bundles().at("spiffe://shop.example"), told);
  // One authority, because an empty list would be refused and the last one kept; not the server's.
  auto trusted = identity::TrustBundle::FromConcatenatedDer(server.bundle().trust_domain(), told);
  ASSERT_TRUE(trusted.ok()) << trusted.status();
  ASSERT_EQ(trusted->authorities_der().size(), 1u);
  EXPECT_NE(trusted->authorities_der(), server.bundle().authorities_der());
  call->TryCancel();
  while (reader->Read(&bundles)) {
  }
  EXPECT_FALSE(reader->Finish().ok());
}

TEST(WorkloadApiTest, AnswersJwtMethodsAsUnimplemented) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  auto call = WorkloadCall();
  JWTSVIDResponse response;
  EXPECT_EQ(agent.WorkloadApi()->FetchJWTSVID(call.get(), JWTSVIDRequest(), &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace countersign::agent
