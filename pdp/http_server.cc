#include "pdp/http_server.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/http/fields.h"

namespace countersign::pdp {
namespace {

namespace http = proxy::http;
using Deadline = std::chrono::steady_clock::time_point;

class StringSink final : public http::ByteSink {
 public:
  void Write(std::string_view bytes) override { text.append(bytes); }
  std::string text;
};

enum class Ready : uint8_t { kConnection, kStopping, kTimeout };

// Waits for the connection, or for the server's stop if that is to be heard.
Ready WaitFor(int fd, short events, Deadline until, int stop) {
  std::array<pollfd, 2> waits = {
      {{.fd = fd, .events = events, .revents = 0}, {.fd = stop, .events = POLLIN, .revents = 0}}};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    const int found =
        left.count() > 0 ? ::poll(waits.data(), waits.size(), static_cast<int>(left.count())) : 0;
    if (found < 0 && errno == EINTR) {
      continue;
    }
    if (found <= 0) {
      return Ready::kTimeout;
    }
    return waits[1].revents != 0 ? Ready::kStopping : Ready::kConnection;
  }
}

bool SendAll(int fd, std::string_view bytes, Deadline until) {
  while (!bytes.empty() && WaitFor(fd, POLLOUT, until, -1) == Ready::kConnection) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      return false;
    }
    bytes.remove_prefix(sent > 0 ? static_cast<size_t>(sent) : 0);
  }
  return bytes.empty();
}

// Conversation is one connection, from its first byte to its close.
class Conversation {
 public:
  Conversation(int connection, int stop, const HttpServer::Handler& handler,
               const PdpLimits& limits)
      : connection_(connection),
        stop_(stop),
        handler_(handler),
        limits_(limits),
        codec_(http::MakeHttp1ServerCodec(kHttpLimits, pools_, http::UnderscoreNames::kAllow)) {}

  void Run() {
    for (size_t count = 0; count < limits_.http_requests_per_connection_max; ++count) {
      if (count + 1 == limits_.http_requests_per_connection_max) {
        codec_->Drain(sink_);
      }
      if (!ReadRequest() || codec_->Closing()) {
        return;
      }
    }
  }

 private:
  static constexpr http::HttpLimits kHttpLimits{};

  // Reads one request whole and answers it; false: the connection is to be closed.
  bool ReadRequest() {
    Deadline until = std::chrono::steady_clock::now() + limits_.http_keep_alive;
    bool begun = false;
    bool wants_bytes = rest_.empty();
    body_.clear();
    head_.reset();
    while (true) {
      if (wants_bytes) {
        const Ready ready = WaitFor(connection_, POLLIN, until, begun ? -1 : stop_);
        if (ready != Ready::kConnection || !ReadBytes()) {
          return false;
        }
      }
      if (!begun) {
        begun = true;
        until = std::chrono::steady_clock::now() + limits_.http_wait;
      }
      http::ServerEvent event;  // Borrows from rest_.
      const size_t taken = codec_->Receive(rest_, event);
      wants_bytes = event.kind == http::EventKind::kNeedMore;
      if (event.kind == http::EventKind::kBody) {
        body_.append(event.data);
        codec_->Credit(stream_, event.data.size());
      }
      rest_.erase(0, taken);
      switch (event.kind) {
        case http::EventKind::kNeedMore:
          break;
        case http::EventKind::kHead:
          head_ = std::move(event.head);
          stream_ = event.stream;
          if (event.end == http::End::kYes) {
            return Answer(until);
          }
          if (!TakesBody(until)) {
            return false;
          }
          break;
        case http::EventKind::kBody:
          if (body_.size() > limits_.message_bytes_max) {
            return Refuse(413, until);
          }
          break;
        case http::EventKind::kEnd:
          return Answer(until);
        case http::EventKind::kError:
          return Refuse(http::StatusOf(event.error), until);
        default:
          return false;
      }
    }
  }

  bool ReadBytes() {
    std::array<char, 16 * 1024> buffer;
    const ssize_t got = ::recv(connection_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      rest_.append(buffer.data(), static_cast<size_t>(got));
    }
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
  }

  bool TakesBody(Deadline until) {
    if (head_->body == http::BodyKind::kLength &&
        head_->content_length > limits_.message_bytes_max) {
      return Refuse(413, until);
    }
    if (head_->expects_continue) {
      http::OutgoingResponse proceed;
      proceed.status = 100;
      codec_->SendInterim(stream_, proceed, sink_);
      if (!Flush(until)) {
        return false;
      }
    }
    codec_->Credit(stream_, limits_.message_bytes_max);
    return true;
  }

  std::string_view Field(std::string_view name) const {
    const auto found = std::ranges::find(head_->headers, name, &http::Header::name);
    return found == head_->headers.end() ? std::string_view() : found->value;
  }

  bool Answer(Deadline until) {
    const std::string_view target = head_->target;
    const HttpRequest request = {.method = head_->method,
                                 .path = target.substr(0, target.find('?')),
                                 .body = body_,
                                 .content_type = Field("content-type"),
                                 .request_id = Field("x-request-id"),
                                 .encoded = !Field("content-encoding").empty()};
    const HttpAnswer answer = handler_(request);
    std::vector<http::Header> headers = {{.id = http::HeaderId::kContentType,
                                          .fate = http::HeaderFate::kEndToEnd,
                                          .name = "content-type",
                                          .value = answer.content_type}};
    if (!answer.request_id.empty()) {
      headers.push_back({.id = http::HeaderId::kOther,
                         .fate = http::HeaderFate::kEndToEnd,
                         .name = "x-request-id",
                         .value = answer.request_id});
    }
    http::OutgoingResponse response;
    response.status = answer.status;
    response.headers = headers;
    response.body = http::BodyKind::kLength;
    response.content_length = answer.body.size();
    codec_->SendHead(stream_, response, answer.body.empty() ? http::End::kYes : http::End::kNo,
                     sink_);
    if (!answer.body.empty()) {
      codec_->SendBody(stream_, answer.body, sink_);
      codec_->SendEnd(stream_, {}, sink_);
    }
    return Flush(until);
  }

  bool Refuse(int status, Deadline until) {
    const std::array<http::Header, 1> headers = {{{.id = http::HeaderId::kContentType,
                                                   .fate = http::HeaderFate::kEndToEnd,
                                                   .name = "content-type",
                                                   .value = "application/json"}}};
    codec_->SendError(status, headers, "{\"error\":\"the request cannot be read\"}\n", sink_);
    Flush(until);
    // Closing with bytes unread would reset the connection, and the answer with it.
    ::shutdown(connection_, SHUT_WR);
    for (size_t left = 2 * limits_.message_bytes_max; left > 0;) {
      rest_.clear();
      if (WaitFor(connection_, POLLIN, until, -1) != Ready::kConnection || !ReadBytes()) {
        break;
      }
      left -= std::min(left, std::max<size_t>(rest_.size(), 1));
    }
    return false;
  }

  bool Flush(Deadline until) {
    const bool sent = SendAll(connection_, sink_.text, until);
    sink_.text.clear();
    return sent;
  }

  const int connection_;
  const int stop_;
  const HttpServer::Handler& handler_;
  const PdpLimits& limits_;
  http::HeadPools pools_;
  std::unique_ptr<http::ServerCodec> codec_;
  http::RequestHeadPtr head_;
  http::StreamId stream_ = 0;  // Of the running exchange.
  StringSink sink_;
  std::string rest_;  // Received and not yet taken.
  std::string body_;
};

}  // namespace

StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const ListenAddress& address,
                                                        unsigned unix_mode,
                                                        const MakeHandler& make_handler,
                                                        const PdpLimits& limits) {
  ASSIGN_OR_RETURN(BoundSocket bound, BoundSocket::Bind(address, unix_mode));
  ASSIGN_OR_RETURN(Wakeup stop, Wakeup::Create());
  Handler handler = make_handler(bound.address);
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::move(bound), std::move(stop), std::move(handler), limits));
  for (size_t i = 0; i < limits.http_threads; ++i) {
    server->threads_.emplace_back([raw = server.get()] { raw->Run(); });
  }
  return server;
}

HttpServer::HttpServer(BoundSocket bound, Wakeup stop, Handler handler, const PdpLimits& limits)
    : bound_(std::move(bound)),
      stop_(std::move(stop)),
      handler_(std::move(handler)),
      limits_(limits) {}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Stop() {
  if (threads_.empty()) {
    return;
  }
  stop_.Signal();  // Nobody clears it: all threads see it.
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
  if (bound_.address.is_unix()) {
    ::unlink(bound_.address.path().c_str());
  }
}

void HttpServer::Run() {
  while (true) {
    const Ready ready =
        WaitFor(bound_.socket.get(), POLLIN,
                std::chrono::steady_clock::now() + std::chrono::hours(1), stop_.fd());
    if (ready == Ready::kTimeout) {
      continue;
    }
    if (ready == Ready::kStopping) {
      return;
    }
    Fd connection(::accept4(bound_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.valid()) {
      Conversation(connection.get(), stop_.fd(), handler_, limits_).Run();
    } else if (errno == EMFILE || errno == ENFILE) {
      // A descriptor may be free again soon; until then this thread must not spin.
      ::poll(nullptr, 0, 50);
    }
  }
}

}  // namespace countersign::pdp
