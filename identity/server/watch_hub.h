// WatchHub tells a store's watchers of its changes, in order, on one thread of its own. Both
// backends use it; it knows nothing of how they keep their data.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "identity/server/store.h"

namespace countersign::server {

// WatchHub is safe for any thread. The store calls Add and Publish under its own lock, so that a
// watcher's history and the changes after it have no gap between them.
class WatchHub {
 public:
  WatchHub();
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // Add registers a watcher whose first batches are `history` (already below its prefix).
  std::unique_ptr<Watching> Add(std::string prefix, std::vector<EventBatch> history,
                                Store::WatchCallback callback);
  void Publish(const EventBatch& batch);

 private:
  struct Watcher {
    std::string prefix;
    Store::WatchCallback callback;
    std::deque<EventBatch> owed;
    size_t owed_events = 0;
    bool too_slow = false;  // The next call is the error, and the last.
  };
  class Handle;
  void Run();
  // Takes one watcher's next call off its queue; false if nobody is owed anything.
  bool TakeNext(std::shared_ptr<Watcher>& watcher, StatusOr<EventBatch>& batch);
  static void Owe(Watcher& watcher, EventBatch batch);
  void Remove(uint64_t number);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, std::shared_ptr<Watcher>> watchers_;
  uint64_t next_number_ = 1;
  uint64_t last_served_ = 0;
  uint64_t calling_ = 0;  // The watcher whose callback runs now; 0 for none.
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace countersign::server
