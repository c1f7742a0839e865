// Published hands immutable snapshots from one writer to many readers without a lock on the
// reader's path. This is one of the few files that may use atomics.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace countersign {

// Published holds the newest snapshot of T. Publish and Get are safe for any thread and take a
// mutex; a Reader belongs to one thread and costs one atomic load while nothing changed.
template <class T>
class Published {
 public:
  Published() = default;
  explicit Published(std::shared_ptr<const T> first) { Publish(std::move(first)); }
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  void Publish(std::shared_ptr<const T> next) {
    std::shared_ptr<const T> old;  // Freed after the mutex is released.
    std::lock_guard lock(mutex_);
    old = std::exchange(current_, std::move(next));
    version_.fetch_add(1, std::memory_order_release);
  }

  // Get is the newest snapshot, or null before the first Publish.
  std::shared_ptr<const T> Get() const {
    std::lock_guard lock(mutex_);
    return current_;
  }

  uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // Reader keeps one thread's view. Refresh is called once an event batch; what current() returned
  // before stays alive for whoever holds it.
  class Reader {
   public:
    explicit Reader(const Published& source) : source_(&source) { Refresh(); }
    // Refresh takes the newest snapshot; true if it changed since the last call.
    bool Refresh() {
      if (source_->version() == seen_) {
        return false;
      }
      std::lock_guard lock(source_->mutex_);
      seen_ = source_->version_.load(std::memory_order_relaxed);
      current_ = source_->current_;
      return true;
    }
    const std::shared_ptr<const T>& current() const { return current_; }

   private:
    const Published* source_;
    uint64_t seen_ = 0;
    std::shared_ptr<const T> current_;
  };

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> current_;
  std::atomic<uint64_t> version_ = 0;
};

}  // namespace countersign
