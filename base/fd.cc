#include "base/fd.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "base/log.h"
#include "base/passed_descriptors.h"

namespace countersign {
namespace {

constexpr int kSoPassRights = 83;               // SO_PASSRIGHTS, Linux 6.16; not in older headers.
constexpr size_t kFdsMax = 16;                  // No message of ours carries more than a few.
constexpr size_t kPayloadBytesMax = 64 * 1024;  // Fits a Unix socket's default buffer.

StatusOr<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return InvalidArgument("socket path ", Quoted(path, 120), " must have 1 to ",
                           sizeof(address.sun_path) - 1, " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// The errno of it, 0 if it is done.
int SetPassRights(int socket, int value) {
  return ::setsockopt(socket, SOL_SOCKET, kSoPassRights, &value, sizeof(value)) == 0 ? 0 : errno;
}

}  // namespace

void Fd::Reset(int fd) {
  if (fd_ >= 0) {
    ::close(fd_);
  }
  fd_ = fd;
}

StatusOr<Fd> ConnectUnix(const std::string& path) {
  ASSIGN_OR_RETURN(sockaddr_un address, UnixAddress(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "socket");
  }
  if (::connect(fd.get(), Generic(address), sizeof(address)) != 0) {
    return ErrnoError(errno, Concat("connect to ", path));
  }
  return fd;
}

Status RefuseDescriptors(int socket) {
  if (int error = SetPassRights(socket, 0); error != ENOPROTOOPT) {
    return error == 0 ? absl::OkStatus() : ErrnoError(error, "refuse passed descriptors");
  }
  static std::once_flag said;
  std::call_once(said, [] {
    LogWarning(
        "this kernel cannot refuse descriptors that local users pass over Unix sockets (Linux 6.16 "
        "can): any user who may connect may make this program wait for long while it closes one");
  });
  return absl::UnimplementedError("this kernel cannot refuse passed descriptors");
}

Status TakeDescriptors(int socket) {
  int error = SetPassRights(socket, 1);
  return error == 0 || error == ENOPROTOOPT ? absl::OkStatus()
                                            : ErrnoError(error, "take passed descriptors");
}

StatusOr<Fd> ListenUnix(const std::string& path, unsigned mode) {
  ASSIGN_OR_RETURN(sockaddr_un address, UnixAddress(path));
  if (StatusOr<Fd> other = ConnectUnix(path); other.ok()) {
    return FailedPrecondition(path,
                              " is in use by another process; stop it or choose another path");
  } else if (other.status().code() == StatusCode::kUnavailable) {
    // A file that is no socket refuses connections too, and is somebody's.
    struct stat facts = {};
    if (::lstat(path.c_str(), &facts) == 0 && !S_ISSOCK(facts.st_mode)) {
      return FailedPrecondition(path, " is there already and is no socket; choose another path");
    }
    ::unlink(path.c_str());
  }
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return ErrnoError(errno, "socket");
  }
  Status refusing = RefuseDescriptors(fd.get());
  if (!refusing.ok() && refusing.code() != StatusCode::kUnimplemented) {
    return refusing;
  }
  // The mode of the descriptor becomes, less the umask, the mode of the name that bind() makes: no
  // window in which others could open it.
  if (::fchmod(fd.get(), mode) != 0) {
    return ErrnoError(errno, Concat("fchmod ", path));
  }
  if (::bind(fd.get(), Generic(address), sizeof(address)) != 0) {
    return ErrnoError(errno, Concat("bind ", path));
  }
  if (::chmod(path.c_str(), mode) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    return ErrnoError(errno, Concat("listen on ", path));
  }
  return fd;
}

Status SendFds(int socket, std::string_view payload, std::span<const int> fds) {
  if (payload.empty() || payload.size() > kPayloadBytesMax || fds.size() > kFdsMax) {
    return InvalidArgument("a message takes 1 to ", kPayloadBytesMax, " bytes and at most ",
                           kFdsMax, " descriptors");
  }
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kFdsMax)> control = {};
  iovec part = {const_cast<char*>(payload.data()), payload.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    return ErrnoError(errno, "sendmsg");
  }
  if (static_cast<size_t>(sent) != payload.size()) {
    return Unavailable("short write of a descriptor message");
  }
  return absl::OkStatus();
}

StatusOr<FdMessage> ReceiveFds(int socket) {
  FdMessage out;
  out.payload.resize(kPayloadBytesMax);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kFdsMax)> control = {};
  iovec part = {out.payload.data(), out.payload.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    return ErrnoError(errno, "recvmsg");
  }
  out.payload.resize(static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      out.fds.emplace_back(fd);
    }
  }
  if ((message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0) {
    return ResourceExhausted("a descriptor message was cut");
  }
  return out;
}

Status SetNonBlocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoError(errno, "fcntl");
  }
  return absl::OkStatus();
}

void IgnoreSigpipe() { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace countersign
