#include "tests/proxy_agent/rules/http_talk.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace countersign {
namespace {

using std::chrono::milliseconds;

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

// Buffered reads through `stream`, giving back what is too much.
class Buffered {
 public:
  Buffered(TestStream& stream, milliseconds patience) : stream_(stream), patience_(patience) {}
  ~Buffered() {
    if (!buffer_.empty()) {
      stream_.Unread(std::move(buffer_));
    }
  }
  Buffered(const Buffered&) = delete;
  Buffered& operator=(const Buffered&) = delete;

  // Until takes up to and with `marker`; nothing if it does not come.
  std::optional<std::string> Until(std::string_view marker) {
    size_t at = 0;
    while ((at = buffer_.find(marker)) == std::string::npos) {
      if (!More()) {
        return std::nullopt;
      }
    }
    return Take(at + marker.size());
  }
  std::optional<std::string> Exactly(size_t size) {
    while (buffer_.size() < size) {
      if (!More()) {
        return std::nullopt;
      }
    }
    return Take(size);
  }
  std::string Rest() {
    while (More()) {
    }
    return Take(buffer_.size());
  }

 private:
  bool More() {
    const std::string some = stream_.ReadSome(patience_);
    buffer_ += some;
    return !some.empty();
  }
  std::string Take(size_t size) {
    std::string taken = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return taken;
  }

  TestStream& stream_;
  milliseconds patience_;
  std::string buffer_;
};

// ReadBody reads what the head announces; nothing if it is cut. `raw` gets the bytes as they came.
std::optional<std::string> ReadBody(Buffered& in, const std::string& head, std::string& raw) {
  if (const auto length = HeaderOf(head, "content-length")) {
    auto body = in.Exactly(std::strtoull(length->c_str(), nullptr, 10));
    raw += body.value_or("");
    return body;
  }
  std::string body;
  while (true) {
    const auto size_line = in.Until("\r\n");
    if (!size_line) {
      return std::nullopt;
    }
    raw += *size_line;
    const size_t size = std::strtoull(size_line->c_str(), nullptr, 16);
    if (size == 0) {
      break;
    }
    const auto chunk = in.Exactly(size + 2);
    if (!chunk) {
      return std::nullopt;
    }
    raw += *chunk;
    body += chunk->substr(0, size);
  }
  while (true) {
    const auto line = in.Until("\r\n");
    if (!line) {
      return std::nullopt;
    }
    raw += *line;
    if (*line == "\r\n") {
      return body;
    }
  }
}

}  // namespace

std::string RequestLine(std::string_view message) {
  return std::string(message.substr(0, message.find("\r\n")));
}

std::optional<std::string> HeaderOf(std::string_view message, std::string_view lower_case_name) {
  const std::string lines = "\r\n" + Lower(message.substr(0, message.find("\r\n\r\n"))) + "\r\n";
  const std::string start = "\r\n" + std::string(lower_case_name) + ":";
  const size_t at = lines.find(start);
  if (at == std::string::npos) {
    return std::nullopt;
  }
  size_t from = at + start.size();
  const size_t to = lines.find("\r\n", from);
  // The same place in the message, whose letters keep their case.
  std::string value(message.substr(from - 2, to - from));
  value.erase(0, value.find_first_not_of(' '));
  return value;
}

Reply ReadReply(TestStream& stream, std::string_view method, milliseconds patience) {
  Buffered in(stream, patience);
  Reply reply;
  do {
    const auto head = in.Until("\r\n\r\n");
    if (!head || !head->starts_with("HTTP/1.1 ")) {
      return {};
    }
    reply.head = *head;
    reply.status = std::atoi(head->c_str() + 9);
  } while (reply.status / 100 == 1 && reply.status != 101);
  if (method == "HEAD" || reply.status == 101 || reply.status == 204 || reply.status == 304) {
    reply.complete = true;
    return reply;
  }
  if (HeaderOf(reply.head, "content-length") || HeaderOf(reply.head, "transfer-encoding")) {
    std::string raw;
    const auto body = ReadBody(in, reply.head, raw);
    reply.body = body.value_or(raw);
    reply.complete = body.has_value();
  } else {
    reply.body = in.Rest();
    reply.complete = stream.clean_end();
  }
  return reply;
}

Reply Ask(TestStream& stream, std::string_view request) {
  stream.Write(request);
  return ReadReply(stream, request.substr(0, request.find(' ')));
}

std::string Get(std::string_view target, std::string_view more_lines, std::string_view host) {
  return Concat("GET ", target, " HTTP/1.1\r\nHost: ", host, "\r\n", more_lines, "\r\n");
}

std::string ReadRequestText(TestStream& stream) {
  Buffered in(stream, std::chrono::minutes(1));
  auto head = in.Until("\r\n\r\n");
  if (!head) {
    return "";
  }
  if (HeaderOf(*head, "content-length") || HeaderOf(*head, "transfer-encoding")) {
    std::string raw;
    if (!ReadBody(in, *head, raw)) {
      return "";
    }
    *head += raw;
  }
  return *head;
}

std::string ReplyText(std::string_view body, std::string_view status) {
  return Concat("HTTP/1.1 ", status, "\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
}

Application::Application(const std::string& address, std::unique_ptr<TlsOptions> tls)
    : server_(TestServer::Start(
          address, [this](TestStream& stream) { Serve(stream); }, std::move(tls))) {}

void Application::SetAnswer(Answer answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

std::vector<std::string> Application::Requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void Application::Serve(TestStream& stream) {
  while (true) {
    const std::string request = ReadRequestText(stream);
    if (request.empty()) {
      return;
    }
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      answer = answer_;
    }
    const std::string response = answer ? answer(request) : ReplyText(request);
    if (response.empty() || !stream.Write(response)) {
      return;
    }
  }
}

}  // namespace countersign
