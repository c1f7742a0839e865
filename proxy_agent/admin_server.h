// AdminServer answers GET requests on a loopback port, in a thread of its own.
//
// It is read-only and knows nothing of the proxy: what to answer comes in by parameter.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "base/status.h"
#include "base/wakeup.h"
#include "proxy_agent/address.h"

namespace countersign::proxy {

struct AdminLimits {
  static constexpr size_t kRequestBytesMax = 8 * 1024;     // A GET from a scraper is far smaller.
  static constexpr std::chrono::milliseconds kWait{5000};  // For a whole request, or a whole send.
};

struct AdminAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// AdminServer serves one connection at a time, so that nobody can make it cost more than a thread.
class AdminServer {
 public:
  using Handler = std::function<AdminAnswer(std::string_view path)>;
  // Start refuses an address that is not loopback. `handler` runs in the server's thread.
  static StatusOr<std::unique_ptr<AdminServer>> Start(const Address& address, Handler handler);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // address is the one bound, with the port that the kernel chose for port 0.
  const Address& address() const { return address_; }

 private:
  AdminServer(Fd socket, Address address, Wakeup stop, Handler handler);
  void Run();
  void Serve(int connection) const;

  Fd socket_;
  Address address_;
  Wakeup stop_;
  Handler handler_;
  std::thread thread_;
};

}  // namespace countersign::proxy
