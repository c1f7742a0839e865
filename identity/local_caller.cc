#include "identity/local_caller.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"

namespace countersign::identity {
namespace {

// Addresses of an accepted connection as its other end sees them: the peer's socket has our
// `remote` as its local end.
struct Ends {
  sockaddr_storage local = {};
  sockaddr_storage remote = {};
};

StatusOr<Ends> ReadEnds(int fd) {
  Ends ends;
  socklen_t size = sizeof(ends.local);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&ends.local), &size) != 0) {
    return ErrnoError(errno, "read local address");
  }
  size = sizeof(ends.remote);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&ends.remote), &size) != 0) {
    return ErrnoError(errno, "read peer address");
  }
  return ends;
}

// Only loopback traffic is sure to have both its sockets on this host.
bool IsLoopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ||
         (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) && v6.sin6_addr.s6_addr[12] == 127);
}

// An IPv4 connection to a dual-stack listener shows as ::ffff:127.0.0.1, while the caller's own
// socket is of either family: PlainV4 gives the IPv4 form.
sockaddr_storage PlainV4(const sockaddr_storage& address) {
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (address.ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    return address;
  }
  sockaddr_storage plain = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(plain);
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr.s_addr, &v6.sin6_addr.s6_addr[12], 4);
  return plain;
}

void FillEnd(const sockaddr_storage& address, uint32_t (&words)[4], uint16_t& port) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    words[0] = v4.sin_addr.s_addr;
    port = v4.sin_port;
    return;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  std::memcpy(words, &v6.sin6_addr, sizeof(words));
  port = v6.sin6_port;
}

struct DiagRequest {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

DiagRequest MakeRequest(const Ends& ends) {
  DiagRequest request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;  // One socket, not a dump.
  request.body.sdiag_family = static_cast<uint8_t>(ends.local.ss_family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = ~0u;
  inet_diag_sockid& id = request.body.id;
  // The peer's socket: its source is our remote end.
  FillEnd(ends.remote, id.idiag_src, id.idiag_sport);
  FillEnd(ends.local, id.idiag_dst, id.idiag_dport);
  id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return request;
}

// A dual-stack socket that dialled an IPv4 address is found by the IPv4 question and answered in
// the IPv6 form ::ffff:127.0.0.1.
bool SameAddress(const uint32_t (&asked)[4], const uint32_t (&found)[4], bool is_mapped) {
  if (is_mapped) {
    return found[0] == 0 && found[1] == 0 && found[2] == htonl(0xffff) && found[3] == asked[0];
  }
  return std::memcmp(asked, found, sizeof(asked)) == 0;
}

// The kernel falls back to a listener when no connection matches, so the answer is compared with
// the question, ports and addresses both.
bool SameEnds(const DiagRequest& request, const inet_diag_msg& found) {
  const inet_diag_sockid& asked = request.body.id;
  bool is_mapped = request.body.sdiag_family == AF_INET && found.idiag_family == AF_INET6;
  return (is_mapped || request.body.sdiag_family == found.idiag_family) &&
         asked.idiag_sport == found.id.idiag_sport && asked.idiag_dport == found.id.idiag_dport &&
         SameAddress(asked.idiag_src, found.id.idiag_src, is_mapped) &&
         SameAddress(asked.idiag_dst, found.id.idiag_dst, is_mapped);
}

StatusOr<uid_t> ReadAnswer(std::string_view answer, const DiagRequest& request) {
  nlmsghdr header;
  if (answer.size() < sizeof(header)) {
    return Internal("short answer from sock_diag");
  }
  std::memcpy(&header, answer.data(), sizeof(header));
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr error = {};
    if (answer.size() >= NLMSG_HDRLEN + sizeof(error)) {
      std::memcpy(&error, answer.data() + NLMSG_HDRLEN, sizeof(error));
    }
    return error.error == -ENOENT ? NotFound("no local socket has the peer's address")
                                  : ErrnoError(-error.error, "ask sock_diag");
  }
  inet_diag_msg found;
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY || answer.size() < NLMSG_HDRLEN + sizeof(found)) {
    return Internal("unknown answer from sock_diag");
  }
  std::memcpy(&found, answer.data() + NLMSG_HDRLEN, sizeof(found));
  if (!SameEnds(request, found)) {
    return NotFound("no local socket has the peer's address");
  }
  // A closed socket has no owner any more and the kernel says 0, which is root's number.
  if (found.idiag_inode == 0 || found.idiag_state == TCP_TIME_WAIT ||
      found.idiag_state == TCP_CLOSE) {
    return NotFound("the peer's socket is closed");
  }
  return uid_t{found.idiag_uid};
}

StatusOr<uid_t> AskOwner(const Ends& ends) {
  Fd netlink(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink.valid()) {
    return ErrnoError(errno, "open sock_diag");
  }
  // The kernel answers within the send; the limit is for a kernel that does not.
  timeval patience{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  DiagRequest request = MakeRequest(ends);
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(netlink.get(), &request, sizeof(request), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) != sizeof(request)) {
    return ErrnoError(errno, "ask sock_diag");
  }
  alignas(nlmsghdr) std::array<char, 8192> answer;
  sockaddr_nl sender = {};
  socklen_t sender_size = sizeof(sender);
  ssize_t size;
  do {
    size = ::recvfrom(netlink.get(), answer.data(), answer.size(), 0,
                      reinterpret_cast<sockaddr*>(&sender), &sender_size);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    return ErrnoError(errno, "read sock_diag");
  }
  if (sender.nl_pid != 0) {
    return PermissionDenied("an answer that is not the kernel's");
  }
  return ReadAnswer({answer.data(), static_cast<size_t>(size)}, request);
}

// Whether the peer that `fd` was accepted from still holds its end: after a reset somebody else may
// have the same port, and then the kernel's answer was about him.
bool StillConnected(int fd) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         (info.tcpi_state == TCP_ESTABLISHED || info.tcpi_state == TCP_CLOSE_WAIT);
}

}  // namespace

StatusOr<LocalCaller> LocalCaller::FromUnixSocket(int fd) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) {
    return ErrnoError(errno, "read socket domain");
  }
  if (domain != AF_UNIX) {
    return InvalidArgument("not a Unix socket");
  }
  ucred credentials = {};
  size = sizeof(credentials);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ErrnoError(errno, "read peer credentials");
  }
  // What the kernel fills in for a socket that is not connected, or whose peer it cannot name here.
  if (credentials.pid <= 0 || credentials.uid == static_cast<uid_t>(-1)) {
    return NotFound("the kernel names no peer for this socket");
  }
  LocalCaller caller(How::kUnixPeerCredentials, credentials.uid);
  caller.gid_ = credentials.gid;
  caller.pid_ = credentials.pid;
  return caller;
}

StatusOr<LocalCaller> LocalCaller::FromLoopbackSocket(int accepted_fd) {
  ASSIGN_OR_RETURN(Ends ends, ReadEnds(accepted_fd));
  for (const sockaddr_storage* end : {&ends.local, &ends.remote}) {
    if (end->ss_family != AF_INET && end->ss_family != AF_INET6) {
      return InvalidArgument("not a TCP socket");
    }
    if (!IsLoopback(*end)) {
      return PermissionDenied("the connection is not between loopback addresses");
    }
  }
  ends = {PlainV4(ends.local), PlainV4(ends.remote)};
  ASSIGN_OR_RETURN(uid_t uid, AskOwner(ends));
  if (!StillConnected(accepted_fd)) {
    return NotFound("the connection ended while the kernel was asked for its owner");
  }
  return LocalCaller(How::kLoopbackSocket, uid);
}

}  // namespace countersign::identity
