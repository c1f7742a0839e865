// What an administrator takes from an agent stays taken.
#include "tests/identity/server/server_fixture.h"

namespace countersign::server {
namespace {

using testing::ElementsAre;

TEST_F(ServerTest, SvidOfAnEarlierAttestationIsOfNoUseAfterTheNext) {
  auto stolen = Join("node-1");
  ASSERT_TRUE(Delete("agent", "node-1").ok());
  auto fresh = Join("node-1");
  TestStream good(server_->port(), *fresh);
  good.Hello();
  good.NextUpdate();
  TestStream refused(server_->port(), *stolen);
  EXPECT_EQ(refused.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  // It did not end the stream of the agent that is admitted.
  Apply(OneRegistration("later"));
  EXPECT_THAT(Names(good.NextUpdate()), ElementsAre("Registration/later"));
}

// A thief renews what was stolen until the very moment of the next attestation, and after it.
TEST_F(ServerTest, NextAttestationEndsAThiefsStreamAndAllItWasGiven) {
  Apply(kDocuments);
  auto stolen = Join("node-1");
  TestStream thief(server_->port(), *stolen);
  thief.Hello();
  thief.NextUpdate();
  identity::PrivateKey key = *identity::PrivateKey::GenerateP256();
  v1::SigningResponse renewed = thief.Sign("", key);
  ASSERT_EQ(renewed.error(), "");
  auto kept =
      identity::X509Svid::Create({renewed.svid().begin(), renewed.svid().end()}, *key.ToPkcs8Der());
  ASSERT_TRUE(kept.ok()) << kept.status();
  auto fresh = Join("node-1");
  // Without another agent's stream that would push it out.
  EXPECT_FALSE(thief.Next().has_value());
  EXPECT_EQ(thief.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const identity::X509Svid* former[] = {stolen.get(), &*kept};
  for (const identity::X509Svid* svid : former) {
    TestStream refused(server_->port(), *svid);
    refused.Hello();
    EXPECT_FALSE(refused.Next().has_value());
    EXPECT_EQ(refused.End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  // Nor does anything of it stand in the way of the agent that is admitted.
  TestStream good(server_->port(), *fresh);
  good.Hello();
  good.NextUpdate();
  EXPECT_EQ(good.Sign("web", key).error(), "");
  EXPECT_EQ(good.Sign("", key).error(), "");
  EXPECT_EQ(OnlyAgent().svid_serial().substr(0, 16), fresh->serial().substr(0, 16));
}

TEST_F(ServerTest, RemovalLeavesNoStreamHoweverItFallsIn) {
  for (int round = 0; round < 10; ++round) {
    auto svid = Join("node-1");
    std::optional<TestStream> stream;
    std::thread connecting([&] {
      stream.emplace(server_->port(), *svid);
      stream->Hello();
    });
    EXPECT_TRUE(Delete("agent", "node-1").ok());
    connecting.join();
    while (stream->Next()) {
    }
    // Cancelled, if an update was on its way to it.
    EXPECT_THAT(stream->End().error_code(),
                testing::AnyOf(grpc::StatusCode::PERMISSION_DENIED, grpc::StatusCode::CANCELLED));
  }
}

TEST_F(ServerTest, RemovalOfSeveralAgentsRemovesAllOrNone) {
  Join("node-1");
  Join("node-2");
  v1::DeleteRequest request;
  for (const char* name : {"node-1", "node-2", "node-3"}) {
    v1::ResourceKey* key = request.add_keys();
    key->set_kind("agent");
    key->set_name(name);
  }
  auto count = [&] {
    return Call<v1::ListAgentsResponse>(&v1::Admin::Stub::ListAgents, v1::ListAgentsRequest())
        .agents_size();
  };
  grpc::Status status;
  Call<v1::DeleteResponse>(&v1::Admin::Stub::Delete, request, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(count(), 2);
  request.mutable_keys()->RemoveLast();
  Call<v1::DeleteResponse>(&v1::Admin::Stub::Delete, request);
  EXPECT_EQ(count(), 0);
}

}  // namespace
}  // namespace countersign::server
