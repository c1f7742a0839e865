// NodePort accepts the agents' connections itself and hands each to gRPC, which does TLS and the
// calls. gRPC's own listener gives up for good when the process has no descriptor left, and knows
// no limit of connections.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"
#include "identity/server/node_places.h"
#include "identity/server/rate_limiter.h"

namespace countersign::server {

struct NodePortLimits {
  static constexpr size_t kAddressesMax = 8;  // A name in --listen may stand for several.
  static constexpr int kBacklog = 1024;
  // Kept for the store, the certificate files and the administrators' socket.
  static constexpr size_t kDescriptorsKept = 128;
  static constexpr Rate kRefusalsLogged{.per_second = 0.2, .burst = 20, .keys_max = 1};
};

// NodePort accepts on a thread of its own from Serve until Stop. `places` and the clock outlive it.
class NodePort {
 public:
  // Taker hands a connection, whose descriptor is its own, to gRPC.
  using Taker = std::function<void(int listener, Fd connection)>;

  // Listen binds "HOST:PORT"; port 0 lets the kernel choose. kFailedPrecondition if it is in use.
  static StatusOr<std::unique_ptr<NodePort>> Listen(const std::string& address, NodePlaces& places,
                                                    const Clock& clock);
  ~NodePort() { Stop(); }
  NodePort(const NodePort&) = delete;
  NodePort& operator=(const NodePort&) = delete;

  int port() const { return port_; }
  // Serve is called once, when the gRPC server runs.
  void Serve(Taker taker);
  void Stop();

 private:
  NodePort(std::vector<Fd> sockets, int port, Fd stop_reader, Fd stop_writer, NodePlaces& places,
           const Clock& clock);
  void Run();
  // AcceptOne is false if there is nothing more to accept now.
  bool AcceptOne(int listener);
  // Without a free descriptor: takes one connection by the spare one, and closes it.
  bool DropOne(int listener);
  void LogRefused(std::string_view why);

  const std::vector<Fd> sockets_;
  const int port_;
  const Fd stop_reader_;
  const Fd stop_writer_;
  Fd spare_;
  NodePlaces& places_;
  RateLimiter refusals_logged_;
  Taker taker_;
  std::thread thread_;
};

}  // namespace countersign::server
