#include "base/unix_grpc/unix_grpc_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "countersign/v1/admin.grpc.pb.h"
#include "tests/support/temp_dir.h"

namespace countersign {
namespace {

// Answers with who calls: "uid/pid/fact".
class WhoAmI final : public v1::Admin::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::GetServerInfoResponse* response) override {
    auto* reactor = context->DefaultReactor();
    auto caller = listener == nullptr ? nullptr : listener->CallerOf(*context);
    if (caller == nullptr) {
      reactor->Finish({grpc::StatusCode::PERMISSION_DENIED, "unknown caller"});
      return reactor;
    }
    auto fact = std::static_pointer_cast<const std::string>(caller->facts);
    response->set_version(Concat(caller->uid, "/", caller->pid, "/", fact ? *fact : "none"));
    response->set_trust_domain(context->peer());
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  const UnixGrpcListener* listener = nullptr;
};

class UnixGrpcListenerTest : public testing::Test {
 protected:
  void Start(UnixGrpcListener::OnAccept on_accept, UnixGrpcLimits limits = {}) {
    auto made = UnixGrpcListener::Create({path_, 0600, std::move(on_accept), limits});
    ASSERT_TRUE(made.ok()) << made.status();
    listener_ = *std::move(made);
    service_.listener = listener_.get();
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    if (with_port_) {
      builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    }
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    listener_->Serve(*server_);
  }
  void TearDown() override {
    listener_.reset();
    server_->Shutdown();
  }
  struct Answer {
    grpc::Status status;
    std::string version;
    std::string peer;
  };
  // Each call uses a connection of its own.
  Answer Call(const std::string& target) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto channel = grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
    channels_.push_back(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::GetServerInfoResponse response;
    auto stub = v1::Admin::NewStub(channel);
    grpc::Status status = stub->GetServerInfo(&context, {}, &response);
    return {status, response.version(), response.trust_domain()};
  }

  TempDir folder_;
  std::string path_ = folder_.File("s");
  WhoAmI service_;
  bool with_port_ = false;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<UnixGrpcListener> listener_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
};

TEST_F(UnixGrpcListenerTest, CallIsKnownByTheKernelsCredentialsAndTheProgramsFacts) {
  Start([](int socket, const UnixCaller& caller) -> StatusOr<std::shared_ptr<const void>> {
    EXPECT_GE(socket, 0);
    EXPECT_EQ(caller.pid, ::getpid());
    return std::make_shared<const std::string>("fact");
  });
  Answer answer = Call("unix:" + path_);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.version, Concat(::getuid(), "/", ::getpid(), "/fact"));
  struct stat facts = {};
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

TEST_F(UnixGrpcListenerTest, ConnectionThatTheProgramRefusesIsClosed) {
  Start([](int, const UnixCaller&) -> StatusOr<std::shared_ptr<const void>> {
    return PermissionDenied("not you");
  });
  EXPECT_EQ(Call("unix:" + path_).status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(UnixGrpcListenerTest, RefusedUserCannotFillTheLog) {
  Start([](int, const UnixCaller&) -> StatusOr<std::shared_ptr<const void>> {
    return PermissionDenied("not you");
  });
  testing::internal::CaptureStderr();
  for (int i = 0; i < 40; ++i) {
    StatusOr<Fd> connection = ConnectUnix(path_);
    ASSERT_TRUE(connection.ok());
    char byte = 0;
    EXPECT_EQ(::read(connection->get(), &byte, 1), 0);  // Closed without a word.
  }
  std::string log = testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (size_t at = log.find("not you"); at != std::string::npos; at = log.find("not you", at + 1)) {
    ++lines;
  }
  EXPECT_EQ(lines, 20u);
}

TEST_F(UnixGrpcListenerTest, CallThatDidNotComeThroughTheSocketHasNoCaller) {
  with_port_ = true;
  Start(nullptr);
  EXPECT_EQ(Call(Concat("127.0.0.1:", port_)).status.error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(UnixGrpcListenerTest, DescriptorNumbersAreNotReusedAtOnce) {
  Start(nullptr);
  std::set<std::string> peers;
  for (int i = 0; i < 20; ++i) {
    Answer answer = Call("unix:" + path_);
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_TRUE(peers.insert(answer.peer).second) << answer.peer;
    channels_.clear();
  }
}

TEST_F(UnixGrpcListenerTest, LimitPerUserIsHeldAndFreedWhenConnectionsEnd) {
  Start(nullptr, {.connections_max = 8, .connections_per_uid_max = 2});
  EXPECT_TRUE(Call("unix:" + path_).status.ok());
  EXPECT_TRUE(Call("unix:" + path_).status.ok());
  EXPECT_EQ(Call("unix:" + path_).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  channels_.clear();
  // gRPC closes in its own time; each refused attempt is a real look at the limit.
  bool admitted = false;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!admitted && std::chrono::steady_clock::now() < deadline) {
    admitted = Call("unix:" + path_).status.ok();
  }
  EXPECT_TRUE(admitted);
}

TEST_F(UnixGrpcListenerTest, SocketsNameGoesWithTheListener) {
  Start(nullptr);
  listener_.reset();
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
  service_.listener = nullptr;
}

}  // namespace
}  // namespace countersign
