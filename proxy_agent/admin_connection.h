// AdminConnection: one request to the admin port and its answer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "proxy_agent/http/codec.h"
#include "proxy_agent/http/head.h"

namespace countersign::proxy {

struct AdminLimits {
  static constexpr size_t kRequestBytesMax = 8 * 1024;     // A GET from a scraper is far smaller.
  static constexpr std::chrono::milliseconds kWait{5000};  // For a whole request and its answer.
  // Probes and scrapers are few and done in milliseconds; whoever waits longest makes room.
  static constexpr size_t kConnectionsMax = 64;
};

struct AdminAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};
using AdminHandler = std::function<AdminAnswer(std::string_view path)>;

// AdminConnection belongs to the admin server's thread. It never blocks.
class AdminConnection {
 public:
  AdminConnection(Fd socket, MonotonicTime now);

  int fd() const { return socket_.get(); }
  // events is what Advance waits for, as for poll.
  short events() const;
  MonotonicTime deadline() const { return deadline_; }
  // Advance reads, answers or writes what it can; false when the connection is over.
  bool Advance(const AdminHandler& handler);

 private:
  bool Read(const AdminHandler& handler);
  void Answer(const http::ServerEvent& event, const AdminHandler& handler);
  bool Write();

  Fd socket_;
  MonotonicTime deadline_;
  // The codec borrows the pools.
  std::unique_ptr<http::HeadPools> pools_;
  std::unique_ptr<http::ServerCodec> codec_;
  std::string answer_;  // From written_ on still to be sent; empty: the request is not whole yet.
  size_t written_ = 0;
};

}  // namespace countersign::proxy
