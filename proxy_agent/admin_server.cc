#include "proxy_agent/admin_server.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "proxy_agent/http/codec.h"
#include "proxy_agent/http/head.h"

namespace countersign::proxy {
namespace {

class StringSink final : public http::ByteSink {
 public:
  void Write(std::string_view bytes) override { text.append(bytes); }
  std::string text;
};

bool WaitFor(int fd, short events, std::chrono::steady_clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      until - std::chrono::steady_clock::now());
  pollfd wait = {.fd = fd, .events = events, .revents = 0};
  return left.count() > 0 && poll(&wait, 1, static_cast<int>(left.count())) == 1;
}

void SendAll(int fd, std::string_view bytes) {
  const auto until = std::chrono::steady_clock::now() + AdminLimits::kWait;
  while (!bytes.empty() && WaitFor(fd, POLLOUT, until)) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return;
    }
    bytes.remove_prefix(sent > 0 ? static_cast<size_t>(sent) : 0);
  }
}

}  // namespace

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
      bind(fd.get(), address.native(), address.native_size()) != 0 || listen(fd.get(), 16) != 0 ||
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

void AdminServer::Run() {
  while (true) {
    std::array<pollfd, 2> waits = {{{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                                    {.fd = stop_.fd(), .events = POLLIN, .revents = 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0) {
      if (errno != EINTR) {
        return;
      }
      continue;
    }
    if (waits[1].revents != 0) {
      return;
    }
    Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.valid()) {
      Serve(connection.get());
    }
  }
}

void AdminServer::Serve(int connection) const {
  static const http::HttpLimits kLimits = {.head_bytes_max = AdminLimits::kRequestBytesMax};
  http::HeadPools pools;
  const std::unique_ptr<http::ServerCodec> codec =
      http::MakeHttp1ServerCodec(kLimits, pools, http::UnderscoreNames::kAllow);
  StringSink sink;
  const auto until = std::chrono::steady_clock::now() + AdminLimits::kWait;
  std::array<char, 4096> buffer;
  http::ServerEvent event;
  while (event.kind == http::EventKind::kNeedMore) {
    if (!WaitFor(connection, POLLIN, until)) {
      return;
    }
    const ssize_t got = recv(connection, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) {
      return;
    }
    codec->Receive({buffer.data(), static_cast<size_t>(got)}, event);
  }
  AdminAnswer answer{.status = http::StatusOf(event.error), .content_type = {}, .body = {}};
  if (event.kind == http::EventKind::kHead) {
    const std::string_view target = event.head->target;
    answer = event.head->method == "GET" || event.head->is_head()
                 ? handler_(target.substr(0, target.find('?')))
                 : AdminAnswer{.status = 405, .content_type = "text/plain", .body = "GET only\n"};
  }
  const std::array<http::Header, 1> headers = {
      {{.id = http::HeaderId::kContentType,
        .fate = http::HeaderFate::kEndToEnd,
        .name = "content-type",
        .value = answer.content_type.empty() ? std::string_view("text/plain")
                                             : std::string_view(answer.content_type)}}};
  codec->SendError(answer.status, headers, answer.body, sink);
  SendAll(connection, sink.text);
  shutdown(connection, SHUT_WR);
}

}  // namespace countersign::proxy
