// ListenerSet: the sockets on which connections come in, one a worker and door, and how they came
// to be.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "proxy_agent/address.h"
#include "proxy_agent/door.h"

namespace countersign::proxy {

// ListenerOrigin says how a listening socket came to this process.
enum class ListenerOrigin : uint8_t {
  kBound,      // By this process.
  kInherited,  // Open when the process began (a supervisor's socket).
  kReceived,   // Over SCM_RIGHTS, from the process that this one takes over from.
};
std::string_view ListenerOriginName(ListenerOrigin origin);

// Listener is one address with one listening socket for each worker. The kernel spreads connections
// over them (SO_REUSEPORT); a Unix socket is one that all workers share.
class Listener {
 public:
  static StatusOr<std::shared_ptr<const Listener>> Bind(const Address& address, size_t workers);
  // Take makes a listener of sockets that listen already, one or more; workers beyond their number
  // share them.
  static StatusOr<std::shared_ptr<const Listener>> Take(ListenerOrigin origin, std::vector<Fd> fds);
  ~Listener();

  const Address& address() const { return address_; }
  ListenerOrigin origin() const { return origin_; }
  int fd(size_t worker) const { return fds_[worker % fds_.size()].get(); }
  // shared: several workers wait on one socket, and only one of them need wake.
  bool shared(size_t workers) const { return fds_.size() < workers; }

 private:
  Listener(Address address, ListenerOrigin origin, std::vector<Fd> fds)
      : address_(std::move(address)), origin_(origin), fds_(std::move(fds)) {}
  Address address_;
  ListenerOrigin origin_;
  std::vector<Fd> fds_;
};

// ListenerSet pairs doors with listeners. Immutable; sockets live as long as a set that holds them.
class ListenerSet {
 public:
  struct Entry {
    std::shared_ptr<const Door> door;
    std::shared_ptr<const Listener> listener;
  };
  // Create keeps the listeners of `before` whose address is still wanted, takes fitting ones of
  // `given` (inherited or received), and binds the rest. It fails as a whole, naming the address.
  static StatusOr<std::shared_ptr<const ListenerSet>> Create(
      const std::vector<std::shared_ptr<const Door>>& doors, size_t workers,
      const ListenerSet* before, const std::vector<std::shared_ptr<const Listener>>& given);

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  ListenerSet() = default;
  std::vector<Entry> entries_;
};

// InheritedListeners are the sockets that a supervisor opened before this process began: as many as
// LISTEN_FDS says, from descriptor 3 on, if LISTEN_PID names this process.
StatusOr<std::vector<std::shared_ptr<const Listener>>> InheritedListeners();
// ReceiveListeners takes the sockets of the process that this one takes over from, over a connected
// Unix socket; SendListeners is its other end.
StatusOr<std::vector<std::shared_ptr<const Listener>>> ReceiveListeners(int socket);
Status SendListeners(int socket, const ListenerSet& listeners, size_t workers);

}  // namespace countersign::proxy
