#include "identity/server/node_port.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/descriptor_limit.h"
#include "base/log.h"

namespace countersign::server {
namespace {

constexpr size_t kAcceptsPerTurnMax = 64;  // Then the strangers are looked at again.
constexpr int kOutOfResourcesWaitMs = 100;

struct HostPort {
  std::string host;
  std::string port;
};

StatusOr<HostPort> Split(const std::string& address) {
  size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) {
    return InvalidArgument("listen address ", Quoted(address), " must be HOST:PORT");
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  return HostPort{std::move(host), address.substr(colon + 1)};
}

int PortOf(const sockaddr_storage& address) {
  std::optional<Endpoint> endpoint = EndpointOf(address);
  return endpoint ? endpoint->port : 0;
}

void SetPort(sockaddr_storage& address, int port) {
  in_port_t number = htons(static_cast<uint16_t>(port));
  if (address.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(address).sin_port = number;
  } else {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = number;
  }
}

StatusOr<Fd> BindOne(const sockaddr_storage& address, socklen_t size) {
  Fd socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) {
    return ErrnoError(errno, "socket");
  }
  const int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(socket.get(), NodePortLimits::kBacklog) != 0) {
    return ErrnoError(errno, "bind");
  }
  return socket;
}

// The other half is for the administrators' socket.
size_t ConnectionsFor(size_t descriptors) {
  return descriptors <= NodePortLimits::kDescriptorsKept
             ? 1
             : std::max<size_t>((descriptors - NodePortLimits::kDescriptorsKept) / 2, 1);
}

}  // namespace

StatusOr<std::unique_ptr<NodePort>> NodePort::Listen(const std::string& address, NodePlaces& places,
                                                     const Clock& clock) {
  ASSIGN_OR_RETURN(HostPort parts, Split(address));
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int error = ::getaddrinfo(parts.host.empty() ? nullptr : parts.host.c_str(), parts.port.c_str(),
                            &hints, &found);
  if (error != 0) {
    return FailedPrecondition("cannot listen on ", address, ": ", ::gai_strerror(error));
  }
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<Fd> sockets;
  int port = 0;
  for (; found != nullptr && sockets.size() < NodePortLimits::kAddressesMax;
       found = found->ai_next) {
    sockaddr_storage bound = {};
    std::copy_n(reinterpret_cast<const char*>(found->ai_addr), found->ai_addrlen,
                reinterpret_cast<char*>(&bound));
    if (!sockets.empty()) {
      SetPort(bound, port);  // With port 0 the kernel chose one for the first.
    }
    StatusOr<Fd> socket = BindOne(bound, found->ai_addrlen);
    if (!socket.ok()) {
      return FailedPrecondition("cannot listen on ", address,
                                ": the port is in use, or the address is not this machine's (",
                                Message(socket.status()), "); stop the other program or choose ",
                                "another --listen");
    }
    socklen_t size = sizeof(bound);
    ::getsockname(socket->get(), reinterpret_cast<sockaddr*>(&bound), &size);
    port = PortOf(bound);
    sockets.push_back(*std::move(socket));
  }
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) {
    return ErrnoError(errno, "pipe");
  }
  places.Cap(ConnectionsFor(RaiseDescriptorLimit(kServerDescriptors)));
  return std::unique_ptr<NodePort>(
      new NodePort(std::move(sockets), port, Fd(pipe_fds[0]), Fd(pipe_fds[1]), places, clock));
}

NodePort::NodePort(std::vector<Fd> sockets, int port, Fd stop_reader, Fd stop_writer,
                   NodePlaces& places, const Clock& clock)
    : sockets_(std::move(sockets)),
      port_(port),
      stop_reader_(std::move(stop_reader)),
      stop_writer_(std::move(stop_writer)),
      spare_(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
      places_(places),
      refusals_logged_(NodePortLimits::kRefusalsLogged, clock) {}

void NodePort::Serve(Taker taker) {
  CHECK(!thread_.joinable());
  taker_ = std::move(taker);
  thread_ = std::thread([this] { Run(); });
}

void NodePort::Stop() {
  if (thread_.joinable()) {
    [[maybe_unused]] ssize_t wrote = ::write(stop_writer_.get(), "x", 1);
    thread_.join();
    taker_ = nullptr;
  }
}

void NodePort::Run() {
  std::vector<pollfd> waits;
  for (const Fd& socket : sockets_) {
    waits.push_back({socket.get(), POLLIN, 0});
  }
  waits.push_back({stop_reader_.get(), POLLIN, 0});
  for (;;) {
    int timeout = places_.size() == 0 ? -1 : static_cast<int>(NodePlaces::kSweepPeriod.count());
    if (::poll(waits.data(), waits.size(), timeout) < 0 && errno != EINTR) {
      LogError("cannot wait for agents' connections", {{"errno", errno}});
      ::poll(&waits.back(), 1, kOutOfResourcesWaitMs);
    }
    if (waits.back().revents != 0) {
      return;
    }
    for (size_t i = 0; i < sockets_.size(); ++i) {
      for (size_t k = 0; waits[i].revents != 0 && k < kAcceptsPerTurnMax; ++k) {
        if (!AcceptOne(sockets_[i].get())) {
          break;
        }
      }
    }
    places_.Sweep();
  }
}

bool NodePort::AcceptOne(int listener) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  Fd accepted(::accept4(listener, reinterpret_cast<sockaddr*>(&address), &size,
                        SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!accepted.valid()) {
    if (errno == EMFILE || errno == ENFILE) {
      return DropOne(listener);
    }
    if (errno == ENOBUFS || errno == ENOMEM) {
      LogRefused("the kernel has no memory for a connection");
      pollfd stop = {stop_reader_.get(), POLLIN, 0};
      ::poll(&stop, 1, kOutOfResourcesWaitMs);
      return false;
    }
    return errno == ECONNABORTED || errno == EINTR;
  }
  std::optional<Endpoint> peer = EndpointOf(address);
  Status status = peer ? places_.Enter(*peer, accepted.get())
                       : Internal("a connection of an unknown kind of address");
  if (!status.ok()) {
    LogRefused(Message(status));
    return true;
  }
  const int one = 1;
  ::setsockopt(accepted.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  taker_(listener, std::move(accepted));
  return true;
}

// The connection would wait unanswered, and wake this thread without end.
bool NodePort::DropOne(int listener) {
  LogRefused("no descriptor left; raise the limit of open files (LimitNOFILE=)");
  spare_.Reset();
  Fd dropped(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  bool was_there = dropped.valid();
  dropped.Reset();
  spare_ = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!was_there) {
    pollfd stop = {stop_reader_.get(), POLLIN, 0};
    ::poll(&stop, 1, kOutOfResourcesWaitMs);
  }
  return was_there;
}

void NodePort::LogRefused(std::string_view why) {
  if (refusals_logged_.Take("")) {
    LogWarning("a connection to the node port is refused", {{"why", why}});
  }
}

}  // namespace countersign::server
