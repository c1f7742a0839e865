#include "proxy_agent/admin_connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

namespace countersign::proxy {
namespace {

constexpr http::HttpLimits kHttpLimits = {.head_bytes_max = AdminLimits::kRequestBytesMax};

class StringSink final : public http::ByteSink {
 public:
  explicit StringSink(std::string& text) : text_(text) {}
  void Write(std::string_view bytes) override { text_.append(bytes); }

 private:
  std::string& text_;
};

}  // namespace

AdminConnection::AdminConnection(Fd socket, MonotonicTime now)
    : socket_(std::move(socket)),
      deadline_(now + AdminLimits::kWait),
      pools_(std::make_unique<http::HeadPools>()),
      codec_(http::MakeHttp1ServerCodec(kHttpLimits, *pools_, http::UnderscoreNames::kAllow)) {}

short AdminConnection::events() const { return answer_.empty() ? POLLIN : POLLOUT; }

bool AdminConnection::Advance(const AdminHandler& handler) {
  return answer_.empty() ? Read(handler) : Write();
}

bool AdminConnection::Read(const AdminHandler& handler) {
  std::array<char, 4096> buffer;
  const ssize_t got = recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got <= 0) {
    return got < 0 && (errno == EAGAIN || errno == EINTR);
  }
  http::ServerEvent event;
  codec_->Receive({buffer.data(), static_cast<size_t>(got)}, event);
  if (event.kind == http::EventKind::kNeedMore) {
    return true;
  }
  Answer(event, handler);
  return Write();
}

void AdminConnection::Answer(const http::ServerEvent& event, const AdminHandler& handler) {
  AdminAnswer answer{.status = http::StatusOf(event.error), .content_type = {}, .body = {}};
  if (event.kind == http::EventKind::kHead) {
    const std::string_view target = event.head->target;
    answer = event.head->method == "GET" || event.head->is_head()
                 ? handler(target.substr(0, target.find('?')))
                 : AdminAnswer{.status = 405, .content_type = "text/plain", .body = "GET only\n"};
  }
  const std::array<http::Header, 1> headers = {
      {{.id = http::HeaderId::kContentType,
        .fate = http::HeaderFate::kEndToEnd,
        .name = "content-type",
        .value = answer.content_type.empty() ? std::string_view("text/plain")
                                             : std::string_view(answer.content_type)}}};
  StringSink sink(answer_);
  codec_->SendError(answer.status, headers, answer.body, sink);
}

bool AdminConnection::Write() {
  while (written_ < answer_.size()) {
    const ssize_t sent = send(fd(), answer_.data() + written_, answer_.size() - written_,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent < 0) {
      return errno == EAGAIN;
    }
    written_ += static_cast<size_t>(sent);
  }
  shutdown(fd(), SHUT_WR);
  return false;
}

}  // namespace countersign::proxy
