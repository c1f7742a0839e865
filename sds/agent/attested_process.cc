#include "sds/agent/attested_process.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sds/agent/peer_socket.h"

namespace countersign::agent {
namespace {

constexpr int kSoPeerPidfd = 77;  // SO_PEERPIDFD, Linux 6.5; Debian 12's headers lack it.

ExeIdentity IdentityOf(const struct stat& file) {
  auto ns = [](const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; };
  return {file.st_dev, file.st_ino, static_cast<uint64_t>(file.st_size), ns(file.st_mtim),
          ns(file.st_ctim)};
}

// The start time of a process (field 22 of its stat file), which tells two users of a pid apart.
StatusOr<uint64_t> StartTime(int proc) {
  Fd stat(::openat(proc, "stat", O_RDONLY | O_CLOEXEC));
  char text[1024];
  ssize_t got = stat.valid() ? ::read(stat.get(), text, sizeof(text)) : -1;
  if (got <= 0) {
    return ErrnoError(errno, "read the peer's stat file");
  }
  std::string_view rest(text, static_cast<size_t>(got));
  size_t name_end = rest.rfind(')');  // The name in field 2 may hold anything.
  if (name_end == std::string_view::npos) {
    return Internal("the peer's stat file has no name");
  }
  rest.remove_prefix(name_end + 1);
  for (int field = 2; field < 22; ++field) {
    size_t space = rest.find(' ');
    if (space == std::string_view::npos) {
      return Internal("the peer's stat file is short");
    }
    rest.remove_prefix(space + 1);
  }
  uint64_t ticks = 0;
  if (auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
      error != std::errc()) {
    return Internal("the peer's start time is not a number");
  }
  return ticks;
}

StatusOr<Fd> OpenProc(pid_t pid) {
  std::string path = Concat("/proc/", pid);
  Fd proc(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc.valid()) {
    return ErrnoError(errno, Concat("open ", path));
  }
  return proc;
}

// For kernels before 6.5. The peer may have ended and its pid may be in use again, between connect
// and here; a process that started after we looked first is not the peer.
StatusOr<Fd> PidfdByPid(pid_t pid) {
  ASSIGN_OR_RETURN(Fd before, OpenProc(pid));
  ASSIGN_OR_RETURN(uint64_t started, StartTime(before.get()));
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    return ErrnoError(errno, "open the peer's pidfd");
  }
  ASSIGN_OR_RETURN(Fd after, OpenProc(pid));
  ASSIGN_OR_RETURN(uint64_t started_after, StartTime(after.get()));
  if (started != started_after) {
    return NotFound("the peer has ended");
  }
  return pidfd;
}

StatusOr<Fd> PidfdOf(int socket, pid_t pid) {
  int number = -1;
  socklen_t size = sizeof(number);
  if (::getsockopt(socket, SOL_SOCKET, kSoPeerPidfd, &number, &size) == 0) {
    Fd pidfd(number);
    ::fcntl(pidfd.get(), F_SETFD, FD_CLOEXEC);
    return pidfd;
  }
  if (errno == ENOPROTOOPT) {
    return PidfdByPid(pid);
  }
  // EINVAL: the peer was reaped. Looking it up by number now would find another process.
  return errno == EINVAL ? NotFound("the peer has ended") : ErrnoError(errno, "pin the peer");
}

}  // namespace

StatusOr<std::shared_ptr<const AttestedProcess>> AttestedProcess::Pin(
    int socket, const Credentials& credentials) {
  if (credentials.pid <= 0) {
    return PermissionDenied("the peer's process is not visible here (another pid namespace?)");
  }
  std::shared_ptr<AttestedProcess> process(new AttestedProcess(credentials));
  ASSIGN_OR_RETURN(process->pidfd_, PidfdOf(socket, credentials.pid));
  ASSIGN_OR_RETURN(process->proc_, OpenProc(credentials.pid));
  // Alive after /proc/PID was opened: so that folder is this process's.
  if (process->HasEnded()) {
    return NotFound("the peer has ended");
  }
  process->exe_status_ = process->OpenExe();
  process->peer_inode_ = PeerInode(socket);
  return std::shared_ptr<const AttestedProcess>(std::move(process));
}

Status AttestedProcess::OpenExe() {
  char text[PATH_MAX];
  ssize_t size = ::readlinkat(proc_.get(), "exe", text, sizeof(text));
  if (size < 0 || size == static_cast<ssize_t>(sizeof(text))) {
    return ErrnoError(size < 0 ? errno : ENAMETOOLONG, "read the caller's executable path");
  }
  exe_path_.assign(text, static_cast<size_t>(size));
  exe_ = Fd(::openat(proc_.get(), "exe", O_RDONLY | O_CLOEXEC));
  struct stat file = {};
  if (!exe_.valid() || ::fstat(exe_.get(), &file) != 0) {
    return ErrnoError(errno, "open the caller's executable");
  }
  exe_identity_ = IdentityOf(file);
  return absl::OkStatus();
}

bool AttestedProcess::HasEnded() const {
  pollfd wait = {pidfd_.get(), POLLIN, 0};
  return ::poll(&wait, 1, 0) != 0;  // Also on an error: what cannot be asked counts as ended.
}

Status AttestedProcess::CheckHolder() const {
  std::lock_guard lock(mutex_);
  if (!holder_checked_) {
    RETURN_IF_ERROR(peer_inode_.status());
    RETURN_IF_ERROR(CheckSoleHolder(*peer_inode_, pid()));
    holder_checked_ = true;
  }
  return absl::OkStatus();
}

Status AttestedProcess::CheckUnchanged() const {
  if (exe_status_.ok()) {
    struct stat file = {};
    if (::fstatat(proc_.get(), "exe", &file, 0) != 0) {
      return HasEnded() ? NotFound("the calling process has ended")
                        : ErrnoError(errno, "look at the caller's executable");
    }
    ExeIdentity now = IdentityOf(file);
    // A file that is replaced on disk while it runs loses a link, which changes ctime alone.
    if (now.device != exe_identity_.device || now.inode != exe_identity_.inode ||
        now.size != exe_identity_.size || now.modified_ns != exe_identity_.modified_ns) {
      return PermissionDenied("the calling process became another program since it connected");
    }
  }
  return HasEnded() ? NotFound("the calling process has ended") : absl::OkStatus();
}

StatusOr<std::string> AttestedProcess::Environment(size_t bytes_max) const {
  Fd file(::openat(proc_.get(), "environ", O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return ErrnoError(errno, "open the caller's environment");
  }
  std::string text(bytes_max, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    ssize_t got = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoError(errno, "read the caller's environment");
    }
    if (got == 0) {
      text.resize(filled);
      return text;
    }
    filled += static_cast<size_t>(got);
  }
  return ResourceExhausted("the caller's environment is larger than ", bytes_max, " bytes");
}

}  // namespace countersign::agent
