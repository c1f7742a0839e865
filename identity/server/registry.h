// Registry is the typed view of the store: it loads what is there, follows each change, and stores
// an administrator's change in one transaction or not at all.
//
// It judges nothing: what reaches Commit has been checked (applier.h).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "identity/server/registry_state.h"
#include "identity/server/store.h"

namespace countersign::server {

struct RegistryLimits {
  // One apply is one transaction: a marker and its comparison, one operation for each document,
  // at most three for a policy set.
  static constexpr size_t kDocumentsMax = StoreLimits::kOperationsMax - 2;
  static constexpr size_t kDocumentsOfASet = 3;
  static constexpr size_t kVersionsMax = 1000;           // Of one set; the oldest go first.
  static constexpr std::chrono::seconds kSettleMax{10};  // From commit until it is seen here.
  static constexpr std::chrono::seconds kReloadWait{1};  // After a store that could not be read.
};

// DocumentChange writes or removes one registration, service, route or bundle.
struct DocumentChange {
  std::string kind;
  std::string name;
  std::string document;  // Empty: removed.
};

// SetChange starts a new version of a set (its number is given by Commit), or removes the set.
struct SetChange {
  PolicySetVersion version;
  bool remove = false;
};

struct RegistryChange {
  std::vector<DocumentChange> documents;
  std::vector<SetChange> sets;
};

// Registry is safe for any thread. The store outlives it.
class Registry {
 public:
  using State = std::shared_ptr<const RegistryState>;
  using Observer = std::function<void(const State&)>;

  // Open loads everything; a stored document that does not load is an error, because leaving a
  // policy out could widen access.
  static StatusOr<std::unique_ptr<Registry>> Open(Store& store);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  State state() const;
  // Observe calls with each new state, on the registry's thread, until the registry goes. The
  // first call may be the present state. Called once, before the server serves.
  void Observe(const Observer& observer);

  // Commit stores `change` if nothing changed since `basis`, else kAborted: the caller looks again.
  // On success state() has it already. `versions` are the stored sets, with their numbers.
  struct Committed {
    Revision revision;
    std::vector<PolicySetVersion> versions;  // Without documents.
  };
  StatusOr<Committed> Commit(const RegistryState& basis, const RegistryChange& change);

  // History lists a set's versions, newest first, without documents; also of a removed set.
  StatusOr<std::vector<PolicySetVersion>> History(std::string_view set);
  StatusOr<PolicySetVersion> Version(std::string_view set, uint64_t version);

  // CollectGarbage removes chunks that no version names, left by a crash between chunk and record.
  // Nothing may commit meanwhile: it is called at start.
  Status CollectGarbage();

 private:
  explicit Registry(Store& store) : store_(store) {}
  Status Load();
  Status EnterTerm();
  void Run();
  void Publish(const State& state);
  StatusOr<State> Next(const RegistryState& old, const std::vector<EventBatch>& batches);
  Status PutEntry(RegistryState& state, const Entry& entry);
  StatusOr<PolicySetVersion> ReadVersion(std::string_view record);
  Status StoreChunks(const std::vector<std::pair<std::string, std::string>>& chunks);
  StatusOr<std::vector<Operation>> SetOperations(const SetChange& change, Committed& committed);
  Status WaitFor(Revision revision);

  Store& store_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_;                     // Guarded by mutex_, as all below.
  std::deque<EventBatch> batches_;  // Not yet in state_.
  bool watch_lost_ = false;
  bool stopping_ = false;
  Observer observer_;
  std::mutex commit_mutex_;             // One commit at a time; held before mutex_.
  std::unique_ptr<Watching> watching_;  // The registry's thread, after Open.
  std::thread thread_;
};

}  // namespace countersign::server
