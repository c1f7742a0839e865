// TimerQueue: the deadlines of one worker in one heap.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "base/clock.h"

namespace countersign::proxy {

class TimerQueue;

// Deadline is one moment by which its owner wants OnDeadline to be called, unless it moves it.
// Setting it later costs one store, because every request moves its connection's deadline.
class Deadline {
 public:
  class Owner {
   public:
    virtual void OnDeadline(Deadline& which) = 0;

   protected:
    ~Owner() = default;
  };

  Deadline(TimerQueue& queue, Owner& owner) : queue_(&queue), owner_(&owner) {}
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline();

  void Set(MonotonicTime at);
  void Clear() { at_ = MonotonicTime::max(); }
  bool set() const { return at_ != MonotonicTime::max(); }
  MonotonicTime at() const { return at_; }

 private:
  friend class TimerQueue;
  static constexpr size_t kNotQueued = std::numeric_limits<size_t>::max();
  TimerQueue* queue_;
  Owner* owner_;
  MonotonicTime at_ = MonotonicTime::max();
  MonotonicTime queued_at_ = MonotonicTime::max();  // Where the heap holds it; never after at_.
  size_t index_ = kNotQueued;
};

// TimerQueue is a binary heap over Deadlines, which it borrows. One thread.
class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Next is when Run wants to be called, if any deadline is queued.
  std::optional<MonotonicTime> Next() const;
  // Run calls the owners of what is due at `now`.
  void Run(MonotonicTime now);

 private:
  friend class Deadline;
  void Insert(Deadline& deadline);
  void Remove(Deadline& deadline);
  void Place(size_t index, Deadline* deadline);
  void SiftUp(size_t index);
  void SiftDown(size_t index);

  std::vector<Deadline*> heap_;
};

}  // namespace countersign::proxy
