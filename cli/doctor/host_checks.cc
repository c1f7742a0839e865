#include "cli/doctor/host_checks.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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
constexpr rlim_t kOpenFilesLeast = 16384;  // Two descriptors a proxied connection.
constexpr uint64_t kFreeBytesLeast = 1ULL << 30;  // A day of records at a few hundred a second.

Finding Good(std::string check, std::string what) {
  return {std::move(check), Health::kGood, std::move(what), ""};
}

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

Finding CheckPtrace() {
  StatusOr<std::string> scope = ReadFile("/proc/sys/kernel/yama/ptrace_scope", 16);
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

Finding CheckClock() {
  timex state = {};
  if (::adjtimex(&state) == TIME_ERROR || (state.status & STA_UNSYNC) != 0) {
    return {"clock.synchronised", Health::kWarning, "the kernel's clock is not synchronised",
            "run an NTP client; short-lived SVIDs need clocks that agree within seconds"};
  }
  return Good("clock.synchronised", "the kernel's clock is synchronised");
}

Finding CheckUser() {
  if (::geteuid() != 0) {
    return {"user", Health::kWarning, Concat("looked at as uid ", ::geteuid()),
            "run as root to see what the agent sees"};
  }
  return Good("user", "looked at as root");
}

Finding CheckSocket(const std::string& check, const std::string& path, mode_t forbidden,
                    const std::string& program) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0) {
    return {check, Health::kBad, Concat(path, " is not there"), Concat("start ", program)};
  }
  if (!S_ISSOCK(facts.st_mode)) {
    return {check, Health::kBad, Concat(path, " is not a socket"), "give the right path"};
  }
  if ((facts.st_mode & forbidden) != 0) {
    return {check, Health::kBad, Concat(path, " may be opened by other users"),
            Concat("chmod 0600 ", path)};
  }
  if (StatusOr<Fd> fd = ConnectUnix(path); !fd.ok()) {
    return {check, Health::kBad, std::string(Message(fd.status())),
            Concat("see whether ", program, " runs, and its log")};
  }
  return Good(check, Concat(path, " answers"));
}

Finding CheckAuditFolder(const std::string& path) {
  struct stat facts = {};
  if (::stat(path.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
    return {"audit.folder", Health::kBad, Concat(path, " is not a folder"),
            "give the folder that countersign-agent writes (--audit-dir)"};
  }
  if ((facts.st_mode & 027) != 0) {
    return {"audit.folder", Health::kBad, Concat(path, " may be changed or read by other users"),
            Concat("chmod 0750 ", path, " or less")};
  }
  struct statvfs space = {};
  ::statvfs(path.c_str(), &space);
  uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  if (free < kFreeBytesLeast) {
    return {"audit.folder", Health::kWarning, Concat("only ", free >> 20, " MiB are free"),
            "make room: when it is full, strict listeners answer 503 and the others drop records"};
  }
  return Good("audit.folder", Concat(free >> 20, " MiB are free"));
}

}  // namespace

std::vector<Finding> CheckHost(const HostPaths& paths) {
  std::vector<Finding> out = {CheckUser(),   CheckPidfd(),     CheckSockDiag(), CheckMemfd(),
                              CheckPtrace(), CheckOpenFiles(), CheckClock()};
  if (!paths.server_socket.empty()) {
    out.push_back(CheckSocket("server.socket", paths.server_socket, 077, "countersign-server"));
  }
  if (!paths.agent_socket.empty()) {
    out.push_back(CheckSocket("agent.socket", paths.agent_socket, 0, "countersign-agent"));
  }
  if (!paths.audit_dir.empty()) {
    out.push_back(CheckAuditFolder(paths.audit_dir));
  }
  return out;
}

}  // namespace countersign::cli::doctor
