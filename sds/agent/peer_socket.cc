#include "sds/agent/peer_socket.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>

#include "base/fd.h"

namespace countersign::agent {
namespace {

struct DiagRequest {
  nlmsghdr header;
  unix_diag_req body;
};

StatusOr<uint64_t> PeerInAnswer(const char* bytes, size_t size) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(bytes);
  if (!NLMSG_OK(header, size) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return Unavailable("the kernel does not say whom a Unix socket is connected to");
  }
  const auto* message = static_cast<const unix_diag_msg*>(NLMSG_DATA(header));
  auto left = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));
  const auto* attribute = reinterpret_cast<const rtattr*>(message + 1);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(attribute) >= sizeof(uint32_t)) {
      uint32_t inode = 0;
      std::memcpy(&inode, RTA_DATA(attribute), sizeof(inode));
      return inode;
    }
  }
  return NotFound("the peer has closed its socket");
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

// Whether some descriptor in /proc/PID/fd is the socket. A process that has ended, or that may not
// be looked into, holds nothing.
bool Holds(int proc, const char* pid, const std::string& link) {
  std::string path = Concat(pid, "/fd");
  int fd = ::openat(proc, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Dir dir(fd >= 0 ? ::fdopendir(fd) : nullptr);
  if (!dir) {
    if (fd >= 0) {
      ::close(fd);
    }
    return false;
  }
  while (const dirent* entry = ::readdir(dir.get())) {
    char text[64];
    ssize_t size = ::readlinkat(::dirfd(dir.get()), entry->d_name, text, sizeof(text));
    if (size > 0 && link == std::string_view(text, static_cast<size_t>(size))) {
      return true;
    }
  }
  return false;
}

}  // namespace

StatusOr<uint64_t> PeerInode(int socket) {
  struct stat own = {};
  Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.valid() || ::fstat(socket, &own) != 0) {
    return ErrnoError(errno, "ask the kernel for the peer's socket");
  }
  DiagRequest request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0u;
  request.body.udiag_ino = static_cast<uint32_t>(own.st_ino);
  request.body.udiag_show = UDIAG_SHOW_PEER;
  request.body.udiag_cookie[0] = ~0u;
  request.body.udiag_cookie[1] = ~0u;
  alignas(nlmsghdr) char answer[1024];
  ssize_t got = -1;
  if (::send(netlink.get(), &request, sizeof(request), 0) == sizeof(request)) {
    got = ::recv(netlink.get(), answer, sizeof(answer), 0);
  }
  if (got < 0) {
    return ErrnoError(errno, "ask the kernel for the peer's socket");
  }
  return PeerInAnswer(answer, static_cast<size_t>(got));
}

Status CheckSoleHolder(uint64_t inode, pid_t pid) {
  std::string link = Concat("socket:[", inode, "]");
  Dir proc(::opendir("/proc"));
  if (!proc) {
    return ErrnoError(errno, "open /proc");
  }
  bool held = false;
  while (const dirent* entry = ::readdir(proc.get())) {
    pid_t other = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    auto [stopped, error] = std::from_chars(entry->d_name, end, other);
    if (error != std::errc() || stopped != end ||
        !Holds(::dirfd(proc.get()), entry->d_name, link)) {
      continue;
    }
    if (other != pid) {
      return PermissionDenied("process ", other, " also holds the connection of process ", pid);
    }
    held = true;
  }
  return held ? absl::OkStatus()
              : PermissionDenied("process ", pid, " does not hold its own connection any more");
}

}  // namespace countersign::agent
