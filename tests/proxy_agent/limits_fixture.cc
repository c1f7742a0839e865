#include "tests/proxy_agent/limits_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace countersign::proxy {

FullListener::FullListener() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in any = {};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(any);
  auto* native = reinterpret_cast<sockaddr*>(&any);
  EXPECT_EQ(bind(listener_.get(), native, size), 0);
  EXPECT_EQ(listen(listener_.get(), 0), 0);
  EXPECT_EQ(getsockname(listener_.get(), native, &size), 0);
  address_ = Concat("127.0.0.1:", ntohs(any.sin_port));
  // Until one connection gets no answer.
  for (int i = 0; i < 16; ++i) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    connect(fd.get(), native, size);
    pollfd wait = {.fd = fd.get(), .events = POLLOUT, .revents = 0};
    const bool answered = poll(&wait, 1, 200) == 1;
    queued_.push_back(std::move(fd));
    if (!answered) {
      return;
    }
  }
  ADD_FAILURE() << "the queue does not fill";
}

}  // namespace countersign::proxy
