#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/temp_dir.h"

namespace countersign {
namespace {

TEST(FileTest, WhatIsWrittenIsRead) {
  TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "one", 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "two", 0600).ok());
  EXPECT_EQ(*ReadFile(folder.File("f"), 10), "two");
  EXPECT_EQ(*ReadSecretFile(folder.File("f"), 10), "two");
}

TEST(FileTest, ALimitIsNamed) {
  TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "12345", 0600).ok());
  StatusOr<std::string> content = ReadFile(folder.File("f"), 4);
  EXPECT_EQ(content.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(Message(content.status()).find("limit of 4 bytes"), std::string_view::npos);
}

TEST(FileTest, ASecretThatOthersMayOpenIsRefused) {
  TempDir folder;
  for (unsigned mode : {0640u, 0604u, 0620u}) {
    ASSERT_TRUE(WriteFileAtomically(folder.File("key"), "secret", mode).ok());
    EXPECT_EQ(ReadSecretFile(folder.File("key"), 10).status().code(),
              StatusCode::kPermissionDenied);
  }
}

TEST(FileTest, ASecretIsNotWrittenIntoAFileThatSomebodyHoldsOpen) {
  TempDir folder;
  std::string path = folder.File("key");
  std::string temporary = Concat(path, ".", ::getpid(), ".new");
  Fd held(::open(temporary.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  ASSERT_TRUE(held.valid());
  ASSERT_TRUE(WriteFileAtomically(path, "secret", 0600).ok());
  char byte = 0;
  EXPECT_EQ(::pread(held.get(), &byte, 1, 0), 0);
  EXPECT_EQ(*ReadSecretFile(path, 100), "secret");
}

TEST(FileTest, OnlyRegularFilesAreRead) {
  TempDir folder;
  EXPECT_EQ(ReadFile(folder.path(), 10).status().code(), StatusCode::kInvalidArgument);
  ASSERT_EQ(::mkfifo(folder.File("pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadFile(folder.File("pipe"), 10).status().code(), StatusCode::kInvalidArgument);
}

TEST(FileTest, AFolderIsLockedOnce) {
  TempDir folder;
  ASSERT_TRUE(MakeFolder(folder.File("a/b"), 0700).ok());
  ASSERT_TRUE(MakeFolder(folder.File("a/b"), 0700).ok());
  {
    StatusOr<Fd> first = LockFolder(folder.File("a/b"));
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ(LockFolder(folder.File("a/b")).status().code(), StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(LockFolder(folder.File("a/b")).ok());
}

// SocketFolderTest makes folders of every kind below a folder that is this user's alone.
class SocketFolderTest : public testing::Test {
 protected:
  std::string Make(const std::string& name, mode_t mode) {
    std::string path = folder_.File(name);
    EXPECT_TRUE(MakeFolder(path, 0700).ok());
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  static std::string Said(const Status& status) { return std::string(Message(status)); }
  TempDir folder_;
};

TEST_F(SocketFolderTest, AFolderOfThisUsersAloneIsGood) {
  EXPECT_TRUE(CheckSocketFolder(Make("own", 0700) + "/agent.sock").ok());
  EXPECT_TRUE(CheckSocketFolder(Make("open", 0755) + "/agent.sock").ok()) << "others may enter";
  EXPECT_TRUE(CheckSocketFolder(Make("own/deeper", 0711) + "/agent.sock").ok());
}

TEST_F(SocketFolderTest, AFolderThatOthersMayWriteIsRefusedWithTheCommandThatMendsIt) {
  for (mode_t mode : {0770, 0777, 0702, 01777}) {
    std::string path = Make(Concat("m", mode), mode);
    Status status = CheckSocketFolder(path + "/agent.sock");
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << mode;
    EXPECT_NE(Said(status).find("chmod go-w " + path), std::string::npos) << status;
  }
}

TEST_F(SocketFolderTest, ASymbolicLinkInItsPlaceIsRefused) {
  std::string real = Make("real", 0700);
  std::string link = folder_.File("link");
  ASSERT_EQ(::symlink(real.c_str(), link.c_str()), 0);
  EXPECT_NE(Said(CheckSocketFolder(link + "/agent.sock")).find("is a symbolic link"),
            std::string::npos);
  EXPECT_FALSE(CheckSocketFolder(link + "/./agent.sock").ok());
  // On the way it is as good as where it lies, where it leads, and each link between.
  std::string below = Make("real/below", 0700);
  EXPECT_TRUE(CheckSocketFolder(link + "/below/agent.sock").ok());
  ASSERT_EQ(::chmod(real.c_str(), 0777), 0);
  EXPECT_FALSE(CheckSocketFolder(link + "/below/agent.sock").ok());
  ASSERT_EQ(::chmod(real.c_str(), 0700), 0);
  std::string shared = Make("shared", 0777);
  ASSERT_EQ(::symlink(real.c_str(), (shared + "/hop").c_str()), 0);
  ASSERT_EQ(::symlink((shared + "/hop").c_str(), folder_.File("far").c_str()), 0);
  EXPECT_FALSE(CheckSocketFolder(folder_.File("far") + "/below/agent.sock").ok());
  ASSERT_EQ(::symlink("turns", folder_.File("turns").c_str()), 0);
  EXPECT_FALSE(CheckSocketFolder(folder_.File("turns") + "/below/agent.sock").ok());
}

TEST_F(SocketFolderTest, AFolderAboveThatOthersMayWriteIsRefusedUnlessItIsSticky) {
  std::string above = Make("above", 0777);
  std::string below = Make("above/below", 0700);
  EXPECT_FALSE(CheckSocketFolder(below + "/agent.sock").ok());
  ASSERT_EQ(::chmod(above.c_str(), 01777), 0);
  EXPECT_TRUE(CheckSocketFolder(below + "/agent.sock").ok());
}

TEST_F(SocketFolderTest, AnotherUsersFolderIsRefused) {
  std::string other = Make("other", 0755);
  ASSERT_EQ(::chown(other.c_str(), 65534, 65534), 0)
      << "this test needs root to give a folder away";
  EXPECT_NE(Said(CheckSocketFolder(other + "/agent.sock")).find("belongs to uid 65534"),
            std::string::npos);
  ASSERT_TRUE(MakeFolder(other + "/below", 0755).ok());
  EXPECT_FALSE(CheckSocketFolder(other + "/below/agent.sock").ok());
}

TEST_F(SocketFolderTest, AFolderThatIsNotThereIsAnErrorThatNamesIt) {
  Status status = CheckSocketFolder(folder_.File("none") + "/agent.sock");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_NE(Said(status).find(folder_.File("none")), std::string::npos);
}

}  // namespace
}  // namespace countersign
