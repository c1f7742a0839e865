// What an administrator takes from an agent stays taken.
#include "tests/identity/server/server_fixture.h"

namespace countersign::server {
namespace {

using testing::ElementsAre;

TEST_F(ServerTest, SvidOfAnEarlierAttestationIsOfNoUseAfterTheNext) {
  auto stolen = Join("node-1");
  ASSERT_TRUE(Delete("agent", "node-1").ok());
  // A certificate's times are whole seconds.
  ASSERT_TRUE(Eventually(
      [&] { return Clock::System().Now() > stolen->not_before() + std::chrono::seconds(11); }));
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
