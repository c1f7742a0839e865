#include "base/core_files.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"

namespace countersign {
namespace {

// InChild says what `body` said in a process of its own: limits that are given up do not come back.
template <class Body>
bool InChild(Body body) {
  const pid_t pid = ::fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(CoreFilesTest, NoneIsWrittenAndTheLimitStays) {
  EXPECT_TRUE(InChild([] {
    rlimit limit = {};
    return ForbidCoreFiles().ok() && ::getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 &&
           limit.rlim_max == 0;
  }));
}

TEST(CoreFilesTest, AnotherProcessOfTheUserCannotReadTheMemory) {
  int ready[2];
  int order[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(order), 0);
  const uid_t uid = ::getuid() == 0 ? 65534 : ::getuid();
  const auto reads = [&](bool forbid) {
    const pid_t guarded = ::fork();
    CHECK(guarded >= 0);
    if (guarded == 0) {
      const bool set = ::setresuid(uid, uid, uid) == 0;
      // Changing users takes the right away too; this is about a process that has it.
      CHECK(set && ::prctl(PR_SET_DUMPABLE, 1) == 0 && (!forbid || ForbidReadingMemory().ok()));
      char byte = '+';
      CHECK(::write(ready[1], &byte, 1) == 1 && ::read(order[0], &byte, 1) == 1);
      ::_exit(0);
    }
    char byte = 0;
    CHECK(::read(ready[0], &byte, 1) == 1);
    const bool read = InChild([&] {
      return ::setresuid(uid, uid, uid) == 0 &&
             ReadFile(Concat("/proc/", guarded, "/environ"), 1 << 20).ok();
    });
    CHECK(::write(order[1], &byte, 1) == 1 && ::waitpid(guarded, nullptr, 0) == guarded);
    return read;
  };
  EXPECT_TRUE(reads(false));
  EXPECT_FALSE(reads(true));
}

}  // namespace
}  // namespace countersign
