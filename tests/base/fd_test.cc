#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/passed_descriptors.h"
#include "tests/support/temp_dir.h"

namespace countersign {
namespace {

TEST(FdTest, MovingLeavesOneOwner) {
  int raw = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  Fd first(raw);
  Fd second(std::move(first));
  EXPECT_EQ(second.get(), raw);
  second.Reset();
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

TEST(FdTest, ListenUnixReplacesAStaleSocketAndRefusesALiveOne) {
  TempDir folder;
  std::string path = folder.File("s");
  StatusOr<Fd> first = ListenUnix(path, 0600);
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat facts = {};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  StatusOr<Fd> second = ListenUnix(path, 0600);
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  first->Reset();  // The name stays, nobody answers.
  EXPECT_TRUE(ListenUnix(path, 0600).ok());
}

TEST(FdTest, ListenUnixLeavesAFileThatIsNoSocket) {
  TempDir folder;
  std::string file = folder.File("file");
  ASSERT_TRUE(WriteFileAtomically(file, "somebody's", 0600).ok());
  std::string link = folder.File("link");
  ASSERT_EQ(::symlink(file.c_str(), link.c_str()), 0);
  for (const std::string& path : {file, link}) {
    EXPECT_EQ(ListenUnix(path, 0600).status().code(), StatusCode::kFailedPrecondition) << path;
  }
  EXPECT_EQ(*ReadFile(link, 100), "somebody's");
}

TEST(FdTest, ListenUnixRefusesALongPath) {
  EXPECT_EQ(ListenUnix("/tmp/" + std::string(200, 'x'), 0600).status().code(),
            StatusCode::kInvalidArgument);
}

// Whether the peer may pass a descriptor over a connection to a listener.
Status PassOneTo(const std::string& path) {
  StatusOr<Fd> connection = ConnectUnix(path);
  EXPECT_TRUE(connection.ok()) << connection.status();
  int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  Fd owner(null);
  return SendFds(connection->get(), "x", {&null, 1});
}

TEST(FdTest, NobodyPassesDescriptorsToAListenerThatDoesNotTakeThem) {
  TempDir folder;
  Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Status can = RefuseDescriptors(probe.get());
  StatusOr<Fd> plain = ListenUnix(folder.File("plain"), 0600);
  StatusOr<Fd> taking = ListenUnix(folder.File("taking"), 0600);
  ASSERT_TRUE(plain.ok() && taking.ok());
  ASSERT_TRUE(TakeDescriptors(taking->get()).ok());
  EXPECT_TRUE(PassOneTo(folder.File("taking")).ok());
  Status passed = PassOneTo(folder.File("plain"));
  if (can.ok()) {
    EXPECT_EQ(passed.code(), StatusCode::kPermissionDenied) << passed;
  } else {
    EXPECT_EQ(can.code(), StatusCode::kUnimplemented) << can;  // Linux before 6.16.
    EXPECT_TRUE(passed.ok());
  }
}

TEST(FdTest, DescriptorsTravelWithAMessage) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Fd left(pair[0]);
  Fd right(pair[1]);
  TempDir folder;
  Fd file(::open(folder.File("f").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(file.get(), "hello", 5), 5);
  int raw = file.get();
  ASSERT_TRUE(SendFds(left.get(), "ring", {&raw, 1}).ok());
  StatusOr<FdMessage> message = ReceiveFds(right.get());
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->payload, "ring");
  ASSERT_EQ(message->fds.size(), 1u);
  char bytes[5];
  EXPECT_EQ(::pread(message->fds[0].get(), bytes, 5, 0), 5);
  left.Reset();
  EXPECT_EQ(ReceiveFds(right.get())->payload, "");
}

}  // namespace
}  // namespace countersign
