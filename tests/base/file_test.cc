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

}  // namespace
}  // namespace countersign
