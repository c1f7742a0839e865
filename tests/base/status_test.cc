#include "base/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace countersign {
namespace {

TEST(StatusTest, ErrorJoinsItsParts) {
  Status status = InvalidArgument("web.yaml:", 12, ": unknown key ", Quoted("principle"));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), "web.yaml:12: unknown key \"principle\"");
}

TEST(StatusTest, QuotedEscapesAndCuts) {
  EXPECT_EQ(Quoted("a\"b\\c\n\xff"), "\"a\\\"b\\\\c\\x0a\\xff\"");
  EXPECT_EQ(Quoted("abcdef", 3), "\"abc...\"");
  EXPECT_EQ(Quoted(""), "\"\"");
}

TEST(StatusTest, AnnotateKeepsTheCode) {
  Status status = Annotate(NotFound("no such set"), "apply");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_EQ(Message(status), "apply: no such set");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "apply").ok());
}

TEST(StatusTest, ErrnoErrorSaysWhatToDoWhereItCanKnow) {
  EXPECT_EQ(Message(ErrnoError(ENOSPC, "write x")),
            "write x: No space left on device; make room on that file system");
  EXPECT_EQ(
      Message(ErrnoError(EROFS, "open x")),
      "open x: Read-only file system; mount that file system writable, or name another folder");
  EXPECT_EQ(
      Message(ErrnoError(EADDRINUSE, "bind x")),
      "bind x: Address already in use; end the program that holds it, or choose another address");
  EXPECT_EQ(Message(ErrnoError(ENOENT, "open x")), "open x: No such file or directory");
}

TEST(StatusTest, ErrnoErrorKeepsTheKindOfFault) {
  EXPECT_EQ(ErrnoError(ENOENT, "open x").code(), StatusCode::kNotFound);
  EXPECT_EQ(ErrnoError(ENOSPC, "write x").code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoError(EROFS, "write x").code(), StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace countersign
