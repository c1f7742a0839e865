#include "identity/server/registry.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <utility>

#include "authz/kinds/loader.h"
#include "base/log.h"
#include "identity/server/policy_set_record.h"

namespace countersign::server {
namespace {

// Every change of the registry also writes this key, so that its revision is the registry's, and a
// comparison with it makes a commit wait for no other.
constexpr std::string_view kMarkerKey = "registry/changed";
constexpr std::string_view kHeadPrefix = "registry/policyset/";
constexpr std::string_view kRegistryPrefix = "registry/";
constexpr std::string_view kVersionPrefix = "policyset-version/";
constexpr std::string_view kChunkPrefix = "chunk/";

struct KindPrefix {
  std::string_view kind;
  std::string_view prefix;
};
constexpr std::array<KindPrefix, 4> kPrefixes = {{{kRegistrationKind, "registry/registration/"},
                                                  {kServiceKind, "registry/service/"},
                                                  {kRouteKind, "registry/route/"},
                                                  {kTrustBundleKind, "registry/bundle/"}}};

StatusOr<std::string> KeyOf(std::string_view kind, std::string_view name) {
  for (const KindPrefix& row : kPrefixes) {
    if (row.kind == kind) {
      return Concat(row.prefix, name);
    }
  }
  return InvalidArgument("kind ", Quoted(kind), " is not kept in the registry");
}

std::string VersionKey(std::string_view set, uint64_t version) {
  char digits[24];
  // Fixed width, so that the store's order is the numbers' order.
  std::snprintf(digits, sizeof(digits), "%020llu", static_cast<unsigned long long>(version));
  return Concat(kVersionPrefix, set, "/", digits);
}

// The name below `prefix`, or nullopt-like false if the key is not below it.
bool NameBelow(std::string_view key, std::string_view prefix, std::string& name) {
  if (!key.starts_with(prefix)) {
    return false;
  }
  name = key.substr(prefix.size());
  return true;
}

template <class T, class Load>
Status PutTyped(ByName<Typed<T>>& map, const std::string& name, const Entry& entry, Load load) {
  auto value = load(entry.value);
  if (!value.ok()) {
    return Annotate(value.status(), Concat("stored document ", entry.key));
  }
  map[name] =
      std::make_shared<const Typed<T>>(Typed<T>{*std::move(value), entry.value, entry.modified});
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Registry>> Registry::Open(Store& store) {
  std::unique_ptr<Registry> registry(new Registry(store));
  RETURN_IF_ERROR(registry->Load());
  RETURN_IF_ERROR(registry->EnterTerm());
  registry->thread_ = std::thread([raw = registry.get()] { raw->Run(); });
  return registry;
}

// After a restore the registry's revision must be one that no agent can have seen, though nothing
// in it changed.
Status Registry::EnterTerm() {
  ASSIGN_OR_RETURN(Revision current, store_.CurrentRevision());
  if (state_->revision.term == current.term || state_->revision == Revision()) {
    return absl::OkStatus();
  }
  std::vector<Operation> touch = {Operation::Put(std::string(kMarkerKey), "")};
  RETURN_IF_ERROR(store_.Txn({}, touch, {}).status());
  return Load();
}

Registry::~Registry() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Registry::State Registry::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

void Registry::Observe(const Observer& observer) {
  State now;
  {
    std::lock_guard lock(mutex_);
    observer_ = observer;
    now = state_;
  }
  observer(now);
}

// Reads all of it and begins to follow it from exactly there.
Status Registry::Load() {
  watching_.reset();
  ASSIGN_OR_RETURN(Listing listing, store_.List(kRegistryPrefix));
  auto state = std::make_shared<RegistryState>();
  for (const Entry& entry : listing.entries) {
    RETURN_IF_ERROR(PutEntry(*state, entry));
  }
  {
    std::lock_guard lock(mutex_);
    batches_.clear();
    watch_lost_ = false;
  }
  auto told = [this](const StatusOr<EventBatch>& batch) {
    std::lock_guard lock(mutex_);
    if (batch.ok()) {
      batches_.push_back(*batch);
    } else {
      watch_lost_ = true;
    }
    changed_.notify_all();
  };
  ASSIGN_OR_RETURN(watching_, store_.Watch(kRegistryPrefix, listing.revision, std::move(told)));
  Publish(state);
  return absl::OkStatus();
}

void Registry::Publish(const State& state) {
  Observer observer;
  {
    std::lock_guard lock(mutex_);
    state_ = state;
    observer = observer_;
  }
  changed_.notify_all();
  if (observer) {
    observer(state);
  }
}

void Registry::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || watch_lost_ || !batches_.empty(); });
    if (stopping_) {
      break;
    }
    bool lost = watch_lost_;
    std::vector<EventBatch> batches(batches_.begin(), batches_.end());
    batches_.clear();
    State old = state_;
    lock.unlock();
    Status status;
    if (lost) {
      status = Load();
    } else if (StatusOr<State> next = Next(*old, batches); next.ok()) {
      Publish(*next);
    } else {
      status = next.status();
    }
    if (!status.ok()) {
      LogError("a change of the registry cannot be taken; the last good state stays",
               {{"why", status}});
    }
    lock.lock();
    if (!status.ok()) {
      // What was missed may narrow access, so nothing that comes later is taken without it.
      watch_lost_ = true;
      changed_.wait_for(lock, RegistryLimits::kReloadWait, [this] { return stopping_; });
    }
  }
  lock.unlock();
  watching_.reset();
}

StatusOr<Registry::State> Registry::Next(const RegistryState& old,
                                         const std::vector<EventBatch>& batches) {
  auto state = std::make_shared<RegistryState>(old);
  for (const EventBatch& batch : batches) {
    for (const Event& event : batch.events) {
      if (event.kind == Event::Kind::kPut) {
        RETURN_IF_ERROR(PutEntry(*state, {event.key, event.value, batch.revision}));
        continue;
      }
      std::string name;
      if (NameBelow(event.key, kPrefixes[0].prefix, name)) {
        state->registrations.erase(name);
      } else if (NameBelow(event.key, kPrefixes[1].prefix, name)) {
        state->services.erase(name);
      } else if (NameBelow(event.key, kPrefixes[2].prefix, name)) {
        state->routes.erase(name);
      } else if (NameBelow(event.key, kPrefixes[3].prefix, name)) {
        state->bundles.erase(name);
      } else if (NameBelow(event.key, kHeadPrefix, name)) {
        state->sets.erase(name);
      }
    }
  }
  return State(std::move(state));
}

Status Registry::PutEntry(RegistryState& state, const Entry& entry) {
  std::string name;
  if (entry.key == kMarkerKey) {
    state.revision = entry.modified;
  } else if (NameBelow(entry.key, kPrefixes[0].prefix, name)) {
    return PutTyped(state.registrations, name, entry, authz::LoadRegistration);
  } else if (NameBelow(entry.key, kPrefixes[1].prefix, name)) {
    return PutTyped(state.services, name, entry, authz::LoadService);
  } else if (NameBelow(entry.key, kPrefixes[2].prefix, name)) {
    return PutTyped(state.routes, name, entry, authz::LoadRoute);
  } else if (NameBelow(entry.key, kPrefixes[3].prefix, name)) {
    return PutTyped(state.bundles, name, entry,
                    [&](std::string_view) -> StatusOr<std::string> { return name; });
  } else if (NameBelow(entry.key, kHeadPrefix, name)) {
    ASSIGN_OR_RETURN(PolicySetVersion version, ReadVersion(entry.value));
    auto policy = authz::LoadPolicySet(version.documents);
    if (!policy.ok()) {
      return Annotate(policy.status(), Concat("stored policy set ", name));
    }
    if ((*policy)->digest != version.digest) {
      return DataLoss("stored policy set ", name, " has digest ", (*policy)->digest,
                      ", its record says ", version.digest);
    }
    state.sets[name] = std::make_shared<const RunningSet>(
        RunningSet{std::move(version), *std::move(policy), entry.modified});
  }
  return absl::OkStatus();
}

StatusOr<PolicySetVersion> Registry::ReadVersion(std::string_view record_json) {
  ASSIGN_OR_RETURN(PolicySetRecord record, ParsePolicySetRecord(record_json));
  std::vector<Chunk> chunks;
  for (const std::string& name : record.chunks) {
    ASSIGN_OR_RETURN(std::optional<Entry> entry, store_.Get(Concat(kChunkPrefix, name)));
    if (!entry) {
      return DataLoss("chunk ", name, " of policy set ", record.version.set, " is missing");
    }
    chunks.push_back({name, std::move(entry->value)});
  }
  ASSIGN_OR_RETURN(record.version.documents, JoinDocuments(chunks));
  return std::move(record.version);
}

StatusOr<std::vector<PolicySetVersion>> Registry::History(std::string_view set) {
  ASSIGN_OR_RETURN(Listing listing, store_.List(Concat(kVersionPrefix, set, "/")));
  std::vector<PolicySetVersion> versions;
  for (const Entry& entry : listing.entries) {
    ASSIGN_OR_RETURN(PolicySetRecord record, ParsePolicySetRecord(entry.value));
    versions.push_back(std::move(record.version));
  }
  std::reverse(versions.begin(), versions.end());
  return versions;
}

StatusOr<PolicySetVersion> Registry::Version(std::string_view set, uint64_t version) {
  ASSIGN_OR_RETURN(std::optional<Entry> entry, store_.Get(VersionKey(set, version)));
  if (!entry) {
    return NotFound("policy set ", Quoted(set), " has no version ", version);
  }
  return ReadVersion(entry->value);
}

Status Registry::StoreChunks(const std::vector<std::pair<std::string, std::string>>& chunks) {
  for (const auto& [name, content] : chunks) {
    std::string key = Concat(kChunkPrefix, name);
    std::vector<Compare> absent = {{key, {}}};
    std::vector<Operation> put = {Operation::Put(key, content)};
    // Present already: the same content under the same hash.
    ASSIGN_OR_RETURN(TxnResult result, store_.Txn(absent, put, {}));
    (void)result;
  }
  return absl::OkStatus();
}

StatusOr<std::vector<Operation>> Registry::SetOperations(const SetChange& change,
                                                         Committed& committed) {
  const std::string& set = change.version.set;
  std::string head = Concat(kHeadPrefix, set);
  if (change.remove) {
    return std::vector<Operation>{Operation::Delete(head)};
  }
  ASSIGN_OR_RETURN(std::vector<PolicySetVersion> history, History(set));
  PolicySetVersion version = change.version;
  version.version = history.empty() ? 1 : history.front().version + 1;
  ASSIGN_OR_RETURN(SplitPolicySet split, SplitPolicySetVersion(version));
  std::vector<std::pair<std::string, std::string>> chunks;
  for (Chunk& chunk : split.chunks) {
    chunks.emplace_back(std::move(chunk.sha256), std::move(chunk.content));
  }
  RETURN_IF_ERROR(StoreChunks(chunks));
  std::vector<Operation> operations = {
      Operation::Put(head, split.record),
      Operation::Put(VersionKey(set, version.version), split.record)};
  if (history.size() >= RegistryLimits::kVersionsMax) {
    operations.push_back(Operation::Delete(VersionKey(set, history.back().version)));
  }
  version.documents.clear();
  committed.versions.push_back(std::move(version));
  return operations;
}

StatusOr<Registry::Committed> Registry::Commit(const RegistryState& basis,
                                               const RegistryChange& change) {
  size_t count = change.documents.size() + change.sets.size() * RegistryLimits::kDocumentsOfASet;
  if (count > RegistryLimits::kDocumentsMax) {
    return ResourceExhausted("one apply changes at most ", RegistryLimits::kDocumentsMax,
                             " documents (a policy set counts as ",
                             RegistryLimits::kDocumentsOfASet, "), this one ", count,
                             "; apply it in parts, policy sets first");
  }
  std::lock_guard one_at_a_time(commit_mutex_);
  Committed committed;
  std::vector<Operation> operations = {Operation::Put(std::string(kMarkerKey), "")};
  for (const DocumentChange& document : change.documents) {
    ASSIGN_OR_RETURN(std::string key, KeyOf(document.kind, document.name));
    operations.push_back(document.document.empty() ? Operation::Delete(std::move(key))
                                                   : Operation::Put(key, document.document));
  }
  for (const SetChange& set : change.sets) {
    ASSIGN_OR_RETURN(std::vector<Operation> more, SetOperations(set, committed));
    std::move(more.begin(), more.end(), std::back_inserter(operations));
  }
  std::vector<Compare> unchanged = {{std::string(kMarkerKey), basis.revision}};
  ASSIGN_OR_RETURN(TxnResult result, store_.Txn(unchanged, operations, {}));
  if (!result.succeeded) {
    return Error(StatusCode::kAborted, "the registry changed meanwhile; try again");
  }
  committed.revision = result.revision;
  RETURN_IF_ERROR(WaitFor(result.revision));
  return committed;
}

Status Registry::WaitFor(Revision revision) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, RegistryLimits::kSettleMax,
                         [&] { return state_->revision >= revision; })) {
    return Unavailable("the change is stored as revision ", FormatRevision(revision),
                       " but this server has not taken it; see its log");
  }
  return absl::OkStatus();
}

Status Registry::CollectGarbage() {
  std::set<std::string> named;
  ASSIGN_OR_RETURN(Listing versions, store_.List(kVersionPrefix));
  for (const Entry& entry : versions.entries) {
    ASSIGN_OR_RETURN(PolicySetRecord record, ParsePolicySetRecord(entry.value));
    named.insert(record.chunks.begin(), record.chunks.end());
  }
  ASSIGN_OR_RETURN(Listing chunks, store_.List(kChunkPrefix));
  for (const Entry& entry : chunks.entries) {
    if (!named.contains(entry.key.substr(kChunkPrefix.size()))) {
      std::vector<Operation> erase = {Operation::Delete(entry.key)};
      RETURN_IF_ERROR(store_.Txn({}, erase, {}).status());
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::server
