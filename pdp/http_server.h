// HttpServer answers small HTTP/1.1 requests with a fixed number of threads.
//
// It knows nothing of policy: what to answer comes in by parameter. Parsing is the proxy's own
// codec, with its limits; a request that breaks a rule of RFC 9112 is refused there.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "base/wakeup.h"
#include "pdp/limits.h"
#include "pdp/listen_address.h"

namespace countersign::pdp {

// HttpRequest borrows from the connection for the time of a call.
struct HttpRequest {
  std::string_view method;
  std::string_view path;  // Without the query.
  std::string_view body;
  std::string_view content_type;  // Empty: none was given.
  std::string_view request_id;    // X-Request-ID, or empty.
  bool encoded = false;           // The body has a Content-Encoding, which nobody here decodes.
};

struct HttpAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string request_id;  // X-Request-ID of the answer; empty: none.
};

// HttpServer serves from Start to Stop or destruction.
class HttpServer {
 public:
  // Handler runs on any of the server's threads, several at a time.
  using Handler = std::function<HttpAnswer(const HttpRequest& request)>;
  // MakeHandler is called once, before the first request, with the address that was bound.
  using MakeHandler = std::function<Handler(const ListenAddress& bound)>;
  static StatusOr<std::unique_ptr<HttpServer>> Start(const ListenAddress& address,
                                                     unsigned unix_mode,
                                                     const MakeHandler& make_handler,
                                                     const PdpLimits& limits);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  const ListenAddress& address() const { return bound_.address; }
  // Stop takes no more connections; requests that have begun are answered.
  void Stop();

 private:
  HttpServer(BoundSocket bound, Wakeup stop, Handler handler, const PdpLimits& limits);
  void Run();
  void Serve(int connection);

  BoundSocket bound_;
  Wakeup stop_;
  const Handler handler_;
  const PdpLimits limits_;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::pdp
