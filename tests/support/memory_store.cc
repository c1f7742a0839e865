#include "tests/support/memory_store.h"

#include <map>
#include <mutex>
#include <utility>

#include "identity/server/watch_hub.h"

namespace countersign::server {
namespace {

class MemoryStore final : public Store {
 public:
  StatusOr<std::optional<Entry>> Get(std::string_view key) override {
    std::lock_guard lock(mutex_);
    return Find(key);
  }

  StatusOr<Listing> List(std::string_view prefix) override {
    std::lock_guard lock(mutex_);
    Listing listing{{}, current_};
    for (const auto& [key, entry] : entries_) {
      if (key.starts_with(prefix)) {
        listing.entries.push_back(entry);
      }
    }
    return listing;
  }

  StatusOr<TxnResult> Txn(std::span<const Compare> compare, std::span<const Operation> then,
                          std::span<const Operation> otherwise) override {
    RETURN_IF_ERROR(CheckTxn(compare, then, otherwise));
    std::lock_guard lock(mutex_);
    TxnResult result{true, current_, {}};
    for (const Compare& one : compare) {
      std::optional<Entry> entry = Find(one.key);
      result.succeeded &= (entry ? entry->modified : Revision()) == one.modified;
    }
    EventBatch batch{{current_.term, current_.n + 1}, {}};
    for (const Operation& operation : result.succeeded ? then : otherwise) {
      Run(operation, result, batch);
    }
    if (!batch.events.empty()) {
      result.revision = current_ = batch.revision;
      history_.push_back(batch);
      hub_.Publish(batch);
    }
    return result;
  }

  StatusOr<std::unique_ptr<Watching>> Watch(std::string_view prefix, Revision from,
                                            WatchCallback callback) override {
    std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(CheckWatchStart(from, current_, compacted_));
    std::vector<EventBatch> missed;
    for (const EventBatch& batch : history_) {
      EventBatch below{batch.revision, {}};
      for (const Event& event : batch.events) {
        if (batch.revision > from && event.key.starts_with(prefix)) {
          below.events.push_back(event);
        }
      }
      if (!below.events.empty()) {
        missed.push_back(std::move(below));
      }
    }
    return hub_.Add(std::string(prefix), std::move(missed), std::move(callback));
  }

  Status Compact(Revision before) override {
    std::lock_guard lock(mutex_);
    if (before > current_) {
      return InvalidArgument("cannot forget the future");
    }
    std::erase_if(history_, [&](const EventBatch& batch) { return batch.revision <= before; });
    compacted_ = std::max(compacted_, before);
    return absl::OkStatus();
  }

  Status BeginTerm() override {
    std::lock_guard lock(mutex_);
    history_.clear();
    current_ = compacted_ = {current_.term + 1, 0};
    return absl::OkStatus();
  }

  StatusOr<Revision> CurrentRevision() override {
    std::lock_guard lock(mutex_);
    return current_;
  }

 private:
  std::optional<Entry> Find(std::string_view key) const {
    auto found = entries_.find(key);
    return found == entries_.end() ? std::nullopt : std::optional<Entry>(found->second);
  }

  void Run(const Operation& operation, TxnResult& result, EventBatch& batch) {
    switch (operation.kind) {
      case Operation::Kind::kGet:
        result.gets.push_back(Find(operation.key));
        return;
      case Operation::Kind::kPut:
        entries_[operation.key] = {operation.key, operation.value, batch.revision};
        batch.events.push_back({Event::Kind::kPut, operation.key, operation.value});
        return;
      case Operation::Kind::kDelete:
        if (entries_.erase(operation.key) > 0) {
          batch.events.push_back({Event::Kind::kDelete, operation.key, {}});
        }
        return;
    }
  }

  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<EventBatch> history_;
  Revision current_{1, 0};
  Revision compacted_;
  WatchHub hub_;
};

}  // namespace

std::unique_ptr<Store> MakeMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace countersign::server
