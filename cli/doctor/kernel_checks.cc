#include "cli/doctor/kernel_checks.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"
#include "base/file.h"
#include "base/status.h"

namespace countersign::cli::doctor {
namespace {

constexpr int kSoPeerPidFd = 77;           // SO_PEERPIDFD, Linux 6.5; older headers do not name it.
constexpr int kSoPassRights = 83;          // SO_PASSRIGHTS, Linux 6.16.
constexpr rlim_t kOpenFilesLeast = 16384;  // Two descriptors a proxied connection.

Finding CheckPidfd() {
  Fd own(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!own.valid()) {
    return {"kernel.pidfd", Health::kBad, "pidfd_open does not work here",
            "the agent needs Linux 5.3 or newer, and a seccomp profile that allows pidfd_open"};
  }
  std::array<int, 2> ends = {};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return {"kernel.pidfd", Health::kBad, "no Unix socket pair", "raise the limit of open files"};
  }
  Fd left(ends[0]);
  Fd right(ends[1]);
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  if (::getsockopt(left.get(), SOL_SOCKET, kSoPeerPidFd, &pidfd, &size) != 0) {
    return {"kernel.pidfd", Health::kWarning,
            "SO_PEERPIDFD is missing; callers are pinned by pidfd_open and start time",
            "Linux 6.5 or newer pins a caller without a gap"};
  }
  Fd peer(pidfd);
  return Good("kernel.pidfd", "callers are pinned by SO_PEERPIDFD");
}

Finding CheckPassedDescriptors() {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int none = 0;
  if (::setsockopt(socket.get(), SOL_SOCKET, kSoPassRights, &none, sizeof(none)) != 0) {
    return {"kernel.passed_descriptors", Health::kWarning,
            "SO_PASSRIGHTS is missing; a local user can make the agent or a proxy wait",
            "Linux 6.16 or newer lets them refuse descriptors that linger when they are closed"};
  }
  return Good("kernel.passed_descriptors", "sockets refuse descriptors that nobody asked for");
}

Finding CheckSockDiag() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd.valid()) {
    return {"kernel.sock_diag", Health::kBad, "sock_diag is missing",
            "load the module inet_diag, or let applications reach their proxy over Unix sockets"};
  }
  return Good("kernel.sock_diag", "a loopback caller's uid can be asked for");
}

Finding CheckMemfd() {
  Fd fd(::memfd_create("countersign-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) {
    return {"kernel.memfd", Health::kBad, "memfd_create with seals does not work here",
            "audit rings need it: Linux 3.17 or newer, and a seccomp profile that allows it"};
  }
  return Good("kernel.memfd", "audit rings can outlive a crash");
}

Finding CheckPtrace(const std::string& proc) {
  StatusOr<std::string> scope = ReadFile(proc + "/sys/kernel/yama/ptrace_scope", 16);
  if (scope.ok() && scope->starts_with("0")) {
    return {"kernel.ptrace", Health::kWarning,
            "processes of one user may read each other's memory (ptrace_scope is 0)",
            "sysctl kernel.yama.ptrace_scope=1, and give each proxy a user of its own"};
  }
  return Good("kernel.ptrace", scope.ok() ? "ptrace is restricted" : "no Yama; users keep apart");
}

Finding CheckOpenFiles() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < kOpenFilesLeast) {
    return {"limits.files", Health::kWarning, Concat("at most ", limit.rlim_max, " open files"),
            Concat("set LimitNOFILE=", kOpenFilesLeast, " or more in the service's unit")};
  }
  return Good("limits.files", Concat("at most ", limit.rlim_max, " open files"));
}

Finding CheckUser() {
  if (::geteuid() != 0) {
    return {"user", Health::kWarning, Concat("looked at as uid ", ::geteuid()),
            "run as root to see what the agent sees"};
  }
  return Good("user", "looked at as root");
}

}  // namespace

Finding JudgeClock(const ClockState& state) {
  if (state.answer < 0) {
    return {"clock.synchronised", Health::kWarning,
            "the kernel does not say whether its clock is synchronised",
            "see that an NTP client runs; short-lived SVIDs need clocks that agree within seconds"};
  }
  if (state.answer == TIME_ERROR || (state.status & STA_UNSYNC) != 0) {
    return {"clock.synchronised", Health::kWarning, "the kernel's clock is not synchronised",
            "run an NTP client; short-lived SVIDs need clocks that agree within seconds"};
  }
  return Good("clock.synchronised", "the kernel's clock is synchronised");
}

Findings CheckKernel(const std::string& proc) {
  timex clock = {};
  int answer = ::adjtimex(&clock);
  return {CheckUser(),
          CheckPidfd(),
          CheckPassedDescriptors(),
          CheckSockDiag(),
          CheckMemfd(),
          CheckPtrace(proc),
          CheckOpenFiles(),
          JudgeClock({answer, clock.status})};
}

}  // namespace countersign::cli::doctor
