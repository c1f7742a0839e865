// HTTP/1.1 messages over a TestStream, as raw as a test needs them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/test_stream.h"

namespace countersign {

// Reply is one response as it came. Status 0: none came.
struct Reply {
  int status = 0;
  std::string head;  // With the empty line.
  std::string body;  // Decoded, if it was chunked.
  bool complete = false;
};

// ReadReply reads one final response; 1xx before it are skipped.
Reply ReadReply(TestStream& stream, std::string_view method = "GET",
                std::chrono::milliseconds patience = kPatience);
// Ask writes `request` as it is and reads its response.
Reply Ask(TestStream& stream, std::string_view request);
// Get is a well-formed request.
std::string Get(std::string_view target, std::string_view more_lines = "",
                std::string_view host = "orders");

// ReadRequestText reads one whole request; empty at the end of the connection.
std::string ReadRequestText(TestStream& stream);
std::string ReplyText(std::string_view body, std::string_view status = "200 OK");

// Application is the server behind an inbound proxy. It answers each request with the request's own
// text as the body, unless told otherwise, and remembers them all.
class Application {
 public:
  // Answer gets the request's text and returns the response's; empty: close without one.
  using Answer = std::function<std::string(const std::string& request)>;

  explicit Application(const std::string& address, std::unique_ptr<TlsOptions> tls = nullptr);
  void SetAnswer(Answer answer);
  std::vector<std::string> Requests() const;
  size_t accepted() const { return server_->accepted(); }
  size_t handshakes() const { return server_->handshakes(); }
  const std::string& address() const { return server_->address(); }

 private:
  void Serve(TestStream& stream);

  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  Answer answer_;
  std::unique_ptr<TestServer> server_;
};

// RequestLine is the first line of a message; HeaderOf a header's value, if it is there.
std::string RequestLine(std::string_view message);
std::optional<std::string> HeaderOf(std::string_view message, std::string_view lower_case_name);

}  // namespace countersign
