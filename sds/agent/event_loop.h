// The one thread on which the agent decides. gRPC's threads only bring events to it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace countersign::agent {

// EventLoop runs posted work in order, calls watchers when their descriptor becomes readable, and
// ticks at least once a second, so that a clock that jumped is noticed.
class EventLoop {
 public:
  using Work = std::function<void()>;

  static StatusOr<std::unique_ptr<EventLoop>> Create();
  // Stops, if Stop was not called. Posted work that has not run is dropped.
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Start runs the loop's thread; `on_tick` runs after each batch of work.
  void Start(Work on_tick);
  // Stop ends the thread after the work in hand. Safe to call again; not from the loop's thread.
  void Stop();

  // Post is safe for any thread, also after Stop (the work is then dropped).
  void Post(Work work);
  // PostAndWait returns when the work has run or was dropped. Not from the loop's thread.
  void PostAndWait(Work work);

  // Loop's thread only. `fd` is borrowed until Unwatch.
  Status Watch(int fd, Work on_readable);
  void Unwatch(int fd);
  // TickWithin asks for a tick within `delay`, once.
  void TickWithin(std::chrono::nanoseconds delay);

 private:
  EventLoop(Fd epoll, Fd wakeup) : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}
  void Run();
  bool RunPosted();
  void DispatchReadable(int fd);

  const Fd epoll_;
  const Fd wakeup_;
  std::mutex mutex_;  // Guards posted_ and stopped_.
  std::vector<Work> posted_;
  bool stopped_ = false;
  std::map<int, std::shared_ptr<Work>> watched_;  // Loop's thread, as what follows.
  std::chrono::nanoseconds tick_within_{};
  Work on_tick_;
  std::thread thread_;
};

}  // namespace countersign::agent
