// ListeningSocket: one worker's share of a Listener: it accepts and hands to Worker::Adopt.
#pragma once

#include <memory>

#include "proxy_agent/event_loop.h"
#include "proxy_agent/listener_set.h"

namespace countersign::proxy {

class Worker;

// ListeningSocket belongs to its worker; a new configuration may give it another door.
class ListeningSocket final : public Mortal, private EventHandler {
 public:
  ListeningSocket(Worker& worker, ListenerSet::Entry entry) : worker_(worker), entry_(entry) {}
  // Start watches a duplicate of the socket, which is closed without touching other workers'.
  Status Start(size_t worker_index, size_t workers);
  // Stop ends accepting; the object must be buried after it.
  void Stop();

  const std::shared_ptr<const Listener>& listener() const { return entry_.listener; }
  void set_door(std::shared_ptr<const Door> door) { entry_.door = std::move(door); }

 private:
  void OnEvents(uint32_t events) override;
  // Accept takes one connection; false if there is none.
  bool AcceptOne();
  bool DropOne();

  Worker& worker_;
  ListenerSet::Entry entry_;
  Fd socket_;
  Fd spare_;  // Given up to accept and close when descriptors run out.
};

}  // namespace countersign::proxy
