// AdminServer answers GET requests on a loopback port, in a thread of its own.
//
// It is read-only and knows nothing of the proxy: what to answer comes in by parameter.
#pragma once

#include <poll.h>

#include <list>
#include <memory>
#include <span>
#include <thread>

#include "base/fd.h"
#include "base/status.h"
#include "base/wakeup.h"
#include "proxy_agent/address.h"
#include "proxy_agent/admin_connection.h"

namespace countersign::proxy {

// AdminServer serves up to AdminLimits::kConnectionsMax connections, so that nobody can make it
// cost more than a thread; one more ends the one that waits longest, so that idle ones keep nobody
// out.
class AdminServer {
 public:
  using Handler = AdminHandler;
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
  void Accept();
  void AdvanceAll(std::span<const pollfd> found);
  int PollTimeout() const;  // Milliseconds until the first deadline, -1 for none.

  Fd socket_;
  Address address_;
  Wakeup stop_;
  Handler handler_;
  std::list<AdminConnection> connections_;  // By age; of the thread alone.
  std::thread thread_;
};

}  // namespace countersign::proxy
