#include "proxy_agent/listening_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "proxy_agent/worker.h"

namespace countersign::proxy {

Status ListeningSocket::Start(size_t worker_index, size_t workers) {
  socket_ = Fd(fcntl(entry_.listener->fd(worker_index), F_DUPFD_CLOEXEC, 0));
  spare_ = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!socket_.valid()) {
    return ErrnoError(errno, "duplicate a listening socket");
  }
  uint32_t events = EPOLLIN;
  if (entry_.listener->shared(workers)) {
    events |= EPOLLEXCLUSIVE;  // One worker wakes for one connection.
  }
  return worker_.loop().Watch(socket_.get(), *this, events);
}

void ListeningSocket::Stop() {
  if (socket_.valid()) {
    worker_.loop().Unwatch(socket_.get());
    socket_.Reset();
  }
}

void ListeningSocket::OnEvents(uint32_t /*events*/) {
  for (size_t i = 0; i < worker_.limits().accepts_per_turn_max && socket_.valid(); ++i) {
    if (!AcceptOne()) {
      return;
    }
  }
  worker_.metrics().Reached(Limit::kAcceptsPerTurn);  // Level-triggered: the next batch goes on.
}

bool ListeningSocket::AcceptOne() {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  Fd accepted(accept4(socket_.get(), reinterpret_cast<sockaddr*>(&storage), &size,
                      SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!accepted.valid()) {
    if (errno == EMFILE || errno == ENFILE) {
      return DropOne();
    }
    return errno == ECONNABORTED || errno == EINTR;
  }
  if (storage.ss_family != AF_UNIX) {
    const int one = 1;
    setsockopt(accepted.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  }
  worker_.Adopt(std::move(accepted), {.door = entry_.door,
                                      .peer = Address::FromSockaddr(storage, size),
                                      .original_destination = std::nullopt});
  return true;
}

// Without a free descriptor the connection would wait unanswered and wake us without end.
bool ListeningSocket::DropOne() {
  spare_.Reset();
  Fd dropped(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const bool was_there = dropped.valid();
  dropped.Reset();
  spare_ = Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (was_there) {  // The kernel asks for a descriptor before it looks for a connection.
    worker_.metrics().closed_over_limit.Add();
    worker_.metrics().Reached(Limit::kDescriptors);
  }
  return was_there;
}

}  // namespace countersign::proxy
