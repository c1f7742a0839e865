// Connection: what a worker owns of one socket: an arrival, a server or upstream connection, a
// tunnel.
#pragma once

#include <cstddef>

#include "proxy_agent/event_loop.h"

namespace countersign::proxy {

// Connection is owned by its worker, which buries it when the connection says so (Worker::Bury).
class Connection : public Mortal {
 public:
  // Drain ends the connection as soon as that harms nobody: at once if it is idle.
  virtual void Drain() = 0;
  // End ends it at once, because the worker does; what it must record, it records.
  virtual void End() = 0;

 private:
  friend class Worker;
  size_t index_ = 0;  // In the worker's list.
};

}  // namespace countersign::proxy
