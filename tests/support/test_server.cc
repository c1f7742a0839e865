#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <random>

#include "tests/support/test_stream.h"

namespace countersign {
namespace {

StatusOr<Fd> ListenTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  CHECK(inet_pton(AF_INET, address.substr(0, colon).c_str(), &at.sin_addr) == 1);
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(socket.get(), 128) != 0) {
    return ErrnoError(errno, Concat("listen on ", address));
  }
  return socket;
}

std::string LocalAddress(int socket) {
  sockaddr_in at = {};
  socklen_t size = sizeof at;
  CHECK(::getsockname(socket, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  char text[INET_ADDRSTRLEN] = {};
  inet_ntop(AF_INET, &at.sin_addr, text, sizeof text);
  return Concat(text, ":", ntohs(at.sin_port));
}

}  // namespace

std::unique_ptr<TestServer> TestServer::Start(const std::string& address, Handler handler,
                                              std::unique_ptr<TlsOptions> tls) {
  std::unique_ptr<TestServer> server(new TestServer());
  const bool unix_socket = address.starts_with("unix:");
  auto listener = unix_socket ? ListenUnix(address.substr(5), 0600) : ListenTcp(address);
  CHECK(listener.ok());
  server->listener_ = std::move(listener).value();
  server->address_ = unix_socket ? address : LocalAddress(server->listener_.get());
  server->handler_ = std::move(handler);
  server->tls_ = std::move(tls);
  server->acceptor_ = std::thread([s = server.get()] { s->Run(); });
  return server;
}

TestServer::~TestServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int socket : open_) {
      ::shutdown(socket, SHUT_RDWR);
    }
  }
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void TestServer::Run() {
  while (true) {
    pollfd ready = {.fd = listener_.get(), .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, -1);
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) {
      return;
    }
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return;
    }
    ++accepted_;
    // A duplicate stays ours, so that shutting it down at the end never hits a stranger's number.
    const int ours = ::dup(socket.get());
    open_.push_back(ours);
    threads_.emplace_back([this, ours, taken = std::move(socket)]() mutable {
      auto stream = TestStream::FromAccepted(std::move(taken), tls_.get());
      if (stream.ok()) {
        {
          const std::lock_guard inner(mutex_);
          ++handshakes_;
        }
        handler_(**stream);
        (*stream)->ShutdownWrite();
      }
      stream = Unavailable("closed");
      const std::lock_guard inner(mutex_);
      open_.erase(std::find(open_.begin(), open_.end(), ours));
      ::close(ours);
    });
  }
}

size_t TestServer::accepted() const {
  const std::lock_guard lock(mutex_);
  return accepted_;
}

size_t TestServer::handshakes() const {
  const std::lock_guard lock(mutex_);
  return handshakes_;
}

std::string FreeAddress() {
  // Below what the kernel gives to connections, which would take it before its user does.
  static constexpr int kFirst = 16000;
  static constexpr int kLast = 32000;
  static std::mt19937 random{std::random_device{}()};
  for (int tries = 0; tries < 1000; ++tries) {
    const int port = std::uniform_int_distribution<>(kFirst, kLast)(random);
    if (const std::string address = Concat("127.0.0.1:", port); ListenTcp(address).ok()) {
      return address;
    }
  }
  CHECK(false);
  return {};
}

}  // namespace countersign
