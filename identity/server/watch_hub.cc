#include "identity/server/watch_hub.h"

#include <utility>

namespace countersign::server {

class WatchHub::Handle final : public Watching {
 public:
  Handle(WatchHub& hub, uint64_t number) : hub_(hub), number_(number) {}
  ~Handle() override { hub_.Remove(number_); }

 private:
  WatchHub& hub_;
  const uint64_t number_;
};

WatchHub::WatchHub() : thread_([this] { Run(); }) {}

WatchHub::~WatchHub() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::unique_ptr<Watching> WatchHub::Add(std::string prefix, std::vector<EventBatch> history,
                                        Store::WatchCallback callback) {
  auto watcher = std::make_shared<Watcher>();
  watcher->prefix = std::move(prefix);
  watcher->callback = std::move(callback);
  for (EventBatch& batch : history) {
    Owe(*watcher, std::move(batch));
  }
  std::lock_guard lock(mutex_);
  uint64_t number = next_number_++;
  watchers_[number] = std::move(watcher);
  changed_.notify_all();
  return std::make_unique<Handle>(*this, number);
}

void WatchHub::Publish(const EventBatch& batch) {
  std::lock_guard lock(mutex_);
  for (auto& [number, watcher] : watchers_) {
    EventBatch below{batch.revision, {}};
    for (const Event& event : batch.events) {
      if (event.key.starts_with(watcher->prefix)) {
        below.events.push_back(event);
      }
    }
    if (!below.events.empty()) {
      Owe(*watcher, std::move(below));
    }
  }
  changed_.notify_all();
}

void WatchHub::Owe(Watcher& watcher, EventBatch batch) {
  if (watcher.too_slow) {
    return;
  }
  watcher.owed_events += batch.events.size();
  if (watcher.owed_events > StoreLimits::kWatchBacklogMax) {
    watcher.too_slow = true;
    watcher.owed.clear();
    return;
  }
  watcher.owed.push_back(std::move(batch));
}

bool WatchHub::TakeNext(std::shared_ptr<Watcher>& watcher, StatusOr<EventBatch>& batch) {
  // Round robin from the one served last, so that a busy prefix starves nobody.
  auto start = watchers_.upper_bound(last_served_);
  for (size_t i = 0; i < watchers_.size(); ++i) {
    if (start == watchers_.end()) {
      start = watchers_.begin();
    }
    auto& [number, candidate] = *start;
    ++start;
    if (!candidate->callback || (candidate->owed.empty() && !candidate->too_slow)) {
      continue;
    }
    watcher = candidate;
    last_served_ = calling_ = number;
    if (candidate->too_slow) {
      batch = Error(StatusCode::kOutOfRange, "the watcher fell more than ",
                    StoreLimits::kWatchBacklogMax, " events behind");
      return true;
    }
    candidate->owed_events -= candidate->owed.front().events.size();
    batch = std::move(candidate->owed.front());
    candidate->owed.pop_front();
    return true;
  }
  return false;
}

void WatchHub::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::shared_ptr<Watcher> watcher;
    StatusOr<EventBatch> batch = EventBatch{};
    if (!TakeNext(watcher, batch)) {
      changed_.wait(lock);
      continue;
    }
    Store::WatchCallback& callback = watcher->callback;
    lock.unlock();
    callback(batch);
    lock.lock();
    if (!batch.ok()) {
      watcher->callback = nullptr;
    }
    calling_ = 0;
    changed_.notify_all();
  }
}

void WatchHub::Remove(uint64_t number) {
  std::unique_lock lock(mutex_);
  CHECK(std::this_thread::get_id() != thread_.get_id() || calling_ != number);
  changed_.wait(lock, [&] { return calling_ != number; });
  watchers_.erase(number);
}

}  // namespace countersign::server
