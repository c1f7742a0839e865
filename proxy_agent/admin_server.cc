#include "proxy_agent/admin_server.h"

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <vector>

#include "base/clock.h"

namespace countersign::proxy {
StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const Address& address, Handler handler) {
  if (!address.is_loopback()) {
    return InvalidArgument("admin address ", address.text(), " is not a loopback address");
  }
  // Non-blocking: a connection that is gone before it is accepted must not hold the thread.
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  if (!fd.valid() || setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
      bind(fd.get(), address.native(), address.native_size()) != 0 ||
      listen(fd.get(), AdminLimits::kConnectionsMax) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    return ErrnoError(errno, Concat("listen on admin address ", address.text()));
  }
  ASSIGN_OR_RETURN(Wakeup stop, Wakeup::Create());
  std::unique_ptr<AdminServer> server(new AdminServer(
      std::move(fd), Address::FromSockaddr(bound, size), std::move(stop), std::move(handler)));
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

AdminServer::AdminServer(Fd socket, Address address, Wakeup stop, Handler handler)
    : socket_(std::move(socket)),
      address_(std::move(address)),
      stop_(std::move(stop)),
      handler_(std::move(handler)) {}

AdminServer::~AdminServer() {
  stop_.Signal();
  if (thread_.joinable()) {
    thread_.join();
  }
}

int AdminServer::PollTimeout() const {
  if (connections_.empty()) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(connections_.front().deadline() -
                                                                 Clock::System().Monotonic());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

void AdminServer::Run() {
  std::vector<pollfd> waits;
  while (true) {
    waits = {{.fd = stop_.fd(), .events = POLLIN, .revents = 0},
             {.fd = socket_.get(), .events = POLLIN, .revents = 0}};
    for (const AdminConnection& connection : connections_) {
      waits.push_back({.fd = connection.fd(), .events = connection.events(), .revents = 0});
    }
    if (poll(waits.data(), waits.size(), PollTimeout()) < 0) {
      if (errno != EINTR) {
        return;
      }
      continue;
    }
    if (waits[0].revents != 0) {
      return;
    }
    // Those that were waited for first: Accept may end one of them.
    AdvanceAll(std::span(waits).subspan(2));
    if (waits[1].revents != 0) {
      Accept();
    }
  }
}

void AdminServer::AdvanceAll(std::span<const pollfd> found) {
  const MonotonicTime now = Clock::System().Monotonic();
  auto connection = connections_.begin();
  for (const pollfd& each : found) {
    const bool stays =
        connection->deadline() > now && (each.revents == 0 || connection->Advance(handler_));
    connection = stays ? std::next(connection) : connections_.erase(connection);
  }
}

void AdminServer::Accept() {
  Fd accepted(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!accepted.valid()) {
    return;
  }
  if (connections_.size() >= AdminLimits::kConnectionsMax) {
    connections_.pop_front();
  }
  connections_.emplace_back(std::move(accepted), Clock::System().Monotonic());
}

}  // namespace countersign::proxy
