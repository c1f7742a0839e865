// EventLoop: one thread's epoll (edge-triggered), deadlines and turns. It knows nothing of
// connections.
//
// One batch: wait -> OnBatch -> events -> deadlines -> tasks -> flushes -> burials. Writes are
// flushed at the end of the batch, so that what one batch produces for a socket is one system call.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/status.h"
#include "base/wakeup.h"
#include "proxy_agent/timer_queue.h"

namespace countersign::proxy {

// EventHandler is told what epoll saw on its descriptor.
class EventHandler {
 public:
  virtual void OnEvents(uint32_t events) = 0;

 protected:
  ~EventHandler() = default;
};

// Turn is work that its owner wants done later in the same thread. Queueing it twice is once.
class Turn {
 public:
  class Owner {
   public:
    virtual void OnTurn(Turn& which) = 0;

   protected:
    ~Owner() = default;
  };
  explicit Turn(Owner& owner) : owner_(&owner) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn();

 private:
  friend class EventLoop;
  Owner* owner_;
  std::vector<Turn*>* queue_ = nullptr;  // Where it waits; null: nowhere.
};

// Mortal is what may be buried: destroyed at the end of the batch, when no event of the batch can
// name it any more.
class Mortal {
 public:
  virtual ~Mortal() = default;
};

// EventLoop belongs to the thread that calls RunBatch, except Post.
class EventLoop {
 public:
  static StatusOr<std::unique_ptr<EventLoop>> Create(const Clock& clock);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Watch reports changes of `fd`'s state to `handler`, edge-triggered, until the fd is closed.
  Status Watch(int fd, EventHandler& handler, uint32_t events);
  // Unwatch is for a duplicate: the kernel reports what it refers to until its last copy is closed,
  // whoever holds it. Call it before closing ours.
  void Unwatch(int fd);
  // Times of the current batch.
  MonotonicTime now() const { return now_; }
  WallTime wall_now() const { return wall_now_; }
  TimerQueue& timers() { return timers_; }

  // InTurn runs after this batch's events; queued from within a turn, in the next batch, which then
  // does not wait. AtFlush runs at the end of this batch.
  void InTurn(Turn& turn) { Queue(turn, turns_); }
  void AtFlush(Turn& turn) { Queue(turn, flushes_); }
  void Bury(std::unique_ptr<Mortal> mortal) { graves_.push_back(std::move(mortal)); }
  // BuryDead destroys the buried now: at the end, when no batch follows.
  void BuryDead();

  // Post runs `task` in the loop's thread. Safe for any thread; not for the data path.
  void Post(std::function<void()> task);

  // set_on_batch: called at the beginning of each batch, before its events.
  void set_on_batch(std::function<void()> on_batch) { on_batch_ = std::move(on_batch); }
  void RunBatch();

 private:
  EventLoop(const Clock& clock, Fd epoll, Wakeup wakeup);
  static void Queue(Turn& turn, std::vector<Turn*>& queue);
  static void RunAll(std::vector<Turn*>& queue, std::vector<Turn*>& running);
  int Timeout() const;
  void RunPosted();
  void RefreshTime();

  const Clock& clock_;
  Fd epoll_;
  Wakeup wakeup_;
  MonotonicTime now_;
  WallTime wall_now_;
  TimerQueue timers_;
  std::vector<Turn*> turns_, turns_running_, flushes_, flushes_running_;
  std::vector<std::unique_ptr<Mortal>> graves_;
  std::function<void()> on_batch_;
  std::mutex mutex_;                           // Guards posted_ alone.
  std::vector<std::function<void()>> posted_;  // Other threads' tasks.
};

}  // namespace countersign::proxy
