// Store is where the server keeps what must survive it: a map of keys to values in which every
// change has a revision, is all or nothing, and can be watched.
//
// Two backends keep this contract, held by one conformance suite: SQLite in a file, and memory for
// tests. Private keys never enter a store.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace countersign::server {

struct StoreLimits {
  static constexpr size_t kOperationsMax = 128;            // As etcd's default, the later backend.
  static constexpr size_t kTransactionBytesMax = 1 << 20;  // Keys and values of one transaction.
  static constexpr size_t kKeyBytesMax = 1024;             // Names are short; IDs are hashed.
  static constexpr size_t kWatchBacklogMax = 65536;        // Events that a slow watcher may owe.
};

// Revision orders every change. A restored store starts a new term, so that no revision is ever
// used twice; {0, 0} is before the first change, and in a comparison means "no such key".
struct Revision {
  uint64_t term = 0;
  uint64_t n = 0;
  auto operator<=>(const Revision&) const = default;
};
std::string FormatRevision(Revision revision);  // "1.42"

struct Entry {
  std::string key;
  std::string value;
  Revision modified;
};

struct Listing {
  std::vector<Entry> entries;  // By key, bytewise.
  Revision revision;           // Of the store at that moment.
};

// Compare holds if the key was last modified at exactly this revision ({0, 0}: it is absent).
struct Compare {
  std::string key;
  Revision modified;
};

struct Operation {
  enum class Kind : uint8_t { kGet, kPut, kDelete };
  Kind kind = Kind::kGet;
  std::string key;
  std::string value;  // kPut only.

  static Operation Get(std::string key) { return {Kind::kGet, std::move(key), {}}; }
  static Operation Put(std::string key, std::string value) {
    return {Kind::kPut, std::move(key), std::move(value)};
  }
  static Operation Delete(std::string key) { return {Kind::kDelete, std::move(key), {}}; }
};

struct TxnResult {
  bool succeeded = false;  // Every comparison held, so `then` ran; else `otherwise` ran.
  Revision revision;       // Of the store after it.
  std::vector<std::optional<Entry>> gets;  // One for each kGet that ran, in order.
};

struct Event {
  enum class Kind : uint8_t { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::string key;
  std::string value;  // kPut only.
};

// EventBatch is what one transaction changed, below one watcher's prefix.
struct EventBatch {
  Revision revision;
  std::vector<Event> events;
};

// Watching ends when the object goes: then no callback runs and none will. Do not destroy it inside
// its own callback.
class Watching {
 public:
  virtual ~Watching() = default;
};

// Store is safe for any thread.
class Store {
 public:
  // A watcher's callback gets batches in order, from one thread, without gaps. An error is its last
  // call: kOutOfRange says that history was compacted (or the watcher was too slow) and that it
  // must list again.
  using WatchCallback = std::function<void(const StatusOr<EventBatch>&)>;

  virtual ~Store() = default;

  virtual StatusOr<std::optional<Entry>> Get(std::string_view key) = 0;
  // List takes one consistent look at all keys that begin with `prefix`.
  virtual StatusOr<Listing> List(std::string_view prefix) = 0;
  // Txn runs `then` if every comparison holds, else `otherwise`; all of it or nothing. What
  // changes something gets a new revision and is durable on return. Two operations on one key,
  // and what is over StoreLimits, are kInvalidArgument.
  virtual StatusOr<TxnResult> Txn(std::span<const Compare> compare, std::span<const Operation> then,
                                  std::span<const Operation> otherwise) = 0;
  // Watch calls with every change after `from`. kOutOfRange if those are no longer known.
  virtual StatusOr<std::unique_ptr<Watching>> Watch(std::string_view prefix, Revision from,
                                                    WatchCallback callback) = 0;
  // Compact forgets the history up to and including `before`; keys and values stay.
  virtual Status Compact(Revision before) = 0;
  // BeginTerm makes every later revision greater than any that a copy of this store has used. It
  // is called once after a restore, before anything else.
  virtual Status BeginTerm() = 0;
  virtual StatusOr<Revision> CurrentRevision() = 0;
};

// CheckTxn holds a transaction to StoreLimits; both backends call it.
Status CheckTxn(std::span<const Compare> compare, std::span<const Operation> then,
                std::span<const Operation> otherwise);
// CheckWatchStart says whether a watch may begin after `from`.
Status CheckWatchStart(Revision from, Revision current, Revision compacted);

}  // namespace countersign::server
