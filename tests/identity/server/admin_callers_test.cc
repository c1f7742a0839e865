// Who may administer the server: the kernel's word decides, not the mode of the socket.
#include <google/protobuf/descriptor.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <future>

#include "base/fd.h"
#include "tests/identity/server/server_fixture.h"

namespace countersign::server {
namespace {

using testing::HasSubstr;

constexpr uid_t kOtherUid = 65534;

// As is a thread that has become another user, alone of this process; the C library's setresuid()
// would take all threads along.
class As {
 public:
  explicit As(uid_t uid) { CHECK(::syscall(SYS_setresuid, -1, uid, -1) == 0); }
  ~As() { CHECK(::syscall(SYS_setresuid, -1, 0, -1) == 0); }
};

class AdminCallersTest : public ServerTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U) << "needs root: only root can be somebody else";
    ServerTest::SetUp();
    // As wide as a careless administrator could open it.
    ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
    ASSERT_EQ(::chmod(folder_.File("admin.sock").c_str(), 0666), 0);
  }
  // A connection made by that user; the kernel notes who calls connect().
  std::shared_ptr<grpc::Channel> ConnectAs(uid_t uid) {
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = folder_.File("admin.sock");
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const As user(uid);
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return grpc::CreateInsecureChannelFromFd("admin", socket.Release());
  }
  // What the server answers to an empty request for that method, whose first answer is enough.
  static grpc::Status Ask(const std::shared_ptr<grpc::Channel>& channel,
                          const google::protobuf::MethodDescriptor& method) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::ByteBuffer request(nullptr, 0);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> answer;
    stub.UnaryCall(&context, Concat("/countersign.v1.Admin/", method.name()), grpc::StubOptions(),
                   &request, &response,
                   [&](grpc::Status status) { answer.set_value(std::move(status)); });
    return answer.get_future().get();
  }
  static const google::protobuf::ServiceDescriptor& Service() {
    return *v1::GetServerInfoRequest::descriptor()->file()->FindServiceByName("Admin");
  }
  uint64_t Now() {
    return Call<v1::GetServerInfoResponse>(&v1::Admin::Stub::GetServerInfo,
                                           v1::GetServerInfoRequest())
        .revision()
        .n();
  }
};

TEST_F(AdminCallersTest, AnotherUserIsRefusedEveryCallAlsoThroughAnOpenSocket) {
  const std::shared_ptr<grpc::Channel> other = ConnectAs(kOtherUid);
  ASSERT_GE(Service().method_count(), 10);
  for (int i = 0; i < Service().method_count(); ++i) {
    const google::protobuf::MethodDescriptor& method = *Service().method(i);
    const grpc::Status status = Ask(other, method);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << method.name();
    EXPECT_THAT(status.error_message(),
                HasSubstr("only root and the server's own user may administer it"))
        << method.name();
  }
}

TEST_F(AdminCallersTest, TheSameCallsOfRootAreAnswered) {
  const std::shared_ptr<grpc::Channel> root = ConnectAs(0);
  for (int i = 0; i < Service().method_count(); ++i) {
    const google::protobuf::MethodDescriptor& method = *Service().method(i);
    if (!method.server_streaming()) {
      const grpc::Status status = Ask(root, method);
      EXPECT_NE(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << method.name();
      EXPECT_NE(status.error_code(), grpc::StatusCode::UNAVAILABLE) << method.name();
    }
  }
}

TEST_F(AdminCallersTest, WhatAnotherUserAppliesOrDeletesChangesNothing) {
  Apply(kDocuments);
  const uint64_t before = Now();
  const auto stub = v1::Admin::NewStub(ConnectAs(kOtherUid));
  grpc::ClientContext applying;
  v1::ApplyRequest apply;
  apply.add_files()->set_path("theirs.yaml");
  apply.mutable_files(0)->set_content(OneRegistration("theirs"));
  v1::ApplyResponse applied;
  EXPECT_EQ(stub->Apply(&applying, apply, &applied).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(applied.ByteSizeLong(), 0U) << "nor are they told what would change";
  grpc::ClientContext deleting;
  v1::DeleteRequest remove;
  remove.add_keys()->set_kind("registration");
  remove.mutable_keys(0)->set_name("web");
  v1::DeleteResponse removed;
  EXPECT_EQ(stub->Delete(&deleting, remove, &removed).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  grpc::ClientContext watching;
  watching.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::WatchRequest watch;
  watch.set_kind("registration");
  const auto stream = stub->Watch(&watching, watch);
  v1::WatchEvent event;
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Now(), before);
}

}  // namespace
}  // namespace countersign::server
