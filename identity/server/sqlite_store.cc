#include "identity/server/sqlite_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <mutex>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "identity/server/sqlite_database.h"
#include "identity/server/watch_hub.h"

namespace countersign::server {
namespace {

constexpr uint64_t kSchemaVersion = 1;

// The tables. `meta` holds the current revision and the newest forgotten one.
constexpr std::string_view kSchema[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, term INTEGER NOT NULL, n INTEGER NOT NULL) "
    "WITHOUT ROWID",
    "CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB NOT NULL, term INTEGER NOT NULL, "
    "n INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE event (term INTEGER NOT NULL, n INTEGER NOT NULL, position INTEGER NOT NULL, "
    "kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, "
    "PRIMARY KEY (term, n, position)) WITHOUT ROWID",
    "INSERT INTO meta VALUES ('current', 1, 0), ('compacted', 0, 0)",
};

// The first key after all that begin with `prefix`; empty if there is none.
std::string EndOfPrefix(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') {
    end.pop_back();
  }
  if (!end.empty()) {
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  }
  return end;
}

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(SqliteDatabase database) : database_(std::move(database)) {}

  StatusOr<std::optional<Entry>> Get(std::string_view key) override {
    std::lock_guard lock(mutex_);
    return GetLocked(key);
  }
  StatusOr<Listing> List(std::string_view prefix) override;
  StatusOr<TxnResult> Txn(std::span<const Compare> compare, std::span<const Operation> then,
                          std::span<const Operation> otherwise) override;
  StatusOr<std::unique_ptr<Watching>> Watch(std::string_view prefix, Revision from,
                                            WatchCallback callback) override;
  Status Compact(Revision before) override;
  Status BeginTerm() override;
  StatusOr<Revision> CurrentRevision() override {
    std::lock_guard lock(mutex_);
    return Meta("current");
  }

 private:
  // Runs `work` inside a SQLite transaction, which it rolls back on any error.
  template <class Work>
  Status InTransaction(Work work);
  StatusOr<std::optional<Entry>> GetLocked(std::string_view key);
  StatusOr<Revision> Meta(std::string_view name);
  Status SetMeta(std::string_view name, Revision revision);
  Status RunTxn(std::span<const Compare> compare, std::span<const Operation> then,
                std::span<const Operation> otherwise, TxnResult& result, EventBatch& batch);
  Status Change(const Operation& operation, EventBatch& batch);
  StatusOr<std::vector<EventBatch>> History(std::string_view prefix, Revision from);

  std::mutex mutex_;
  SqliteDatabase database_;  // Guarded by mutex_.
  WatchHub hub_;             // Last: its thread ends before the rest goes.
};

template <class Work>
Status SqliteStore::InTransaction(Work work) {
  RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
  Status status = work();
  if (status.ok()) {
    status = database_.Execute("COMMIT");
  }
  if (!status.ok()) {
    // SQLite may have rolled back by itself (full disk); then this fails, which changes nothing.
    Status ignored = database_.Execute("ROLLBACK");
    (void)ignored;
  }
  return status;
}

StatusOr<std::optional<Entry>> SqliteStore::GetLocked(std::string_view key) {
  ASSIGN_OR_RETURN(SqliteStatement select,
                   database_.Prepare("SELECT value, term, n FROM entry WHERE key = ?"));
  ASSIGN_OR_RETURN(bool found, select.Bind(key).Step());
  if (!found) {
    return std::optional<Entry>();
  }
  return std::optional<Entry>(
      Entry{std::string(key), select.Bytes(0), {select.Number(1), select.Number(2)}});
}

StatusOr<Revision> SqliteStore::Meta(std::string_view name) {
  ASSIGN_OR_RETURN(SqliteStatement select,
                   database_.Prepare("SELECT term, n FROM meta WHERE name = CAST(? AS TEXT)"));
  ASSIGN_OR_RETURN(bool found, select.Bind(name).Step());
  if (!found) {
    return DataLoss(database_.path(), " has no ", name, " revision; it is not a store of ours");
  }
  return Revision{select.Number(0), select.Number(1)};
}

Status SqliteStore::SetMeta(std::string_view name, Revision revision) {
  ASSIGN_OR_RETURN(
      SqliteStatement update,
      database_.Prepare("UPDATE meta SET term = ?, n = ? WHERE name = CAST(? AS TEXT)"));
  return update.Bind(revision.term).Bind(revision.n).Bind(name).Run();
}

StatusOr<Listing> SqliteStore::List(std::string_view prefix) {
  std::lock_guard lock(mutex_);
  Listing listing;
  ASSIGN_OR_RETURN(listing.revision, Meta("current"));
  std::string end = EndOfPrefix(prefix);
  ASSIGN_OR_RETURN(SqliteStatement select,
                   database_.Prepare("SELECT key, value, term, n FROM entry WHERE key >= ?1 AND "
                                     "(length(?2) = 0 OR key < ?2) ORDER BY key"));
  select.Bind(prefix).Bind(end);
  for (;;) {
    ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) {
      return listing;
    }
    listing.entries.push_back(
        {select.Bytes(0), select.Bytes(1), {select.Number(2), select.Number(3)}});
  }
}

StatusOr<TxnResult> SqliteStore::Txn(std::span<const Compare> compare,
                                     std::span<const Operation> then,
                                     std::span<const Operation> otherwise) {
  RETURN_IF_ERROR(CheckTxn(compare, then, otherwise));
  std::lock_guard lock(mutex_);
  TxnResult result;
  EventBatch batch;
  RETURN_IF_ERROR(InTransaction([&] { return RunTxn(compare, then, otherwise, result, batch); }));
  if (!batch.events.empty()) {
    hub_.Publish(batch);
  }
  return result;
}

Status SqliteStore::RunTxn(std::span<const Compare> compare, std::span<const Operation> then,
                           std::span<const Operation> otherwise, TxnResult& result,
                           EventBatch& batch) {
  result.succeeded = true;
  for (const Compare& one : compare) {
    ASSIGN_OR_RETURN(std::optional<Entry> entry, GetLocked(one.key));
    result.succeeded &= (entry ? entry->modified : Revision()) == one.modified;
  }
  ASSIGN_OR_RETURN(Revision current, Meta("current"));
  batch.revision = {current.term, current.n + 1};
  for (const Operation& operation : result.succeeded ? then : otherwise) {
    if (operation.kind == Operation::Kind::kGet) {
      ASSIGN_OR_RETURN(std::optional<Entry> entry, GetLocked(operation.key));
      result.gets.push_back(std::move(entry));
    } else {
      RETURN_IF_ERROR(Change(operation, batch));
    }
  }
  result.revision = batch.events.empty() ? current : batch.revision;
  return batch.events.empty() ? absl::OkStatus() : SetMeta("current", batch.revision);
}

Status SqliteStore::Change(const Operation& operation, EventBatch& batch) {
  bool put = operation.kind == Operation::Kind::kPut;
  if (put) {
    ASSIGN_OR_RETURN(SqliteStatement insert,
                     database_.Prepare("INSERT INTO entry VALUES (?, ?, ?, ?) ON CONFLICT (key) DO "
                                       "UPDATE SET value = excluded.value, term = excluded.term, "
                                       "n = excluded.n"));
    RETURN_IF_ERROR(insert.Bind(operation.key)
                        .Bind(operation.value)
                        .Bind(batch.revision.term)
                        .Bind(batch.revision.n)
                        .Run());
  } else {
    ASSIGN_OR_RETURN(std::optional<Entry> entry, GetLocked(operation.key));
    if (!entry) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(SqliteStatement erase, database_.Prepare("DELETE FROM entry WHERE key = ?"));
    RETURN_IF_ERROR(erase.Bind(operation.key).Run());
  }
  Event event{put ? Event::Kind::kPut : Event::Kind::kDelete, operation.key, operation.value};
  ASSIGN_OR_RETURN(SqliteStatement log,
                   database_.Prepare("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)"));
  RETURN_IF_ERROR(log.Bind(batch.revision.term)
                      .Bind(batch.revision.n)
                      .Bind(uint64_t{batch.events.size()})
                      .Bind(static_cast<uint64_t>(event.kind))
                      .Bind(event.key)
                      .Bind(event.value)
                      .Run());
  batch.events.push_back(std::move(event));
  return absl::OkStatus();
}

StatusOr<std::vector<EventBatch>> SqliteStore::History(std::string_view prefix, Revision from) {
  ASSIGN_OR_RETURN(
      SqliteStatement select,
      database_.Prepare("SELECT term, n, kind, key, value FROM event WHERE (term, n) > (?, ?) "
                        "ORDER BY term, n, position"));
  select.Bind(from.term).Bind(from.n);
  std::vector<EventBatch> history;
  for (;;) {
    ASSIGN_OR_RETURN(bool row, select.Step());
    if (!row) {
      return history;
    }
    std::string key = select.Bytes(3);
    if (!key.starts_with(prefix)) {
      continue;
    }
    Revision revision{select.Number(0), select.Number(1)};
    if (history.empty() || history.back().revision != revision) {
      history.push_back({revision, {}});
    }
    history.back().events.push_back(
        {static_cast<Event::Kind>(select.Number(2)), std::move(key), select.Bytes(4)});
  }
}

StatusOr<std::unique_ptr<Watching>> SqliteStore::Watch(std::string_view prefix, Revision from,
                                                       WatchCallback callback) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Revision current, Meta("current"));
  ASSIGN_OR_RETURN(Revision compacted, Meta("compacted"));
  RETURN_IF_ERROR(CheckWatchStart(from, current, compacted));
  ASSIGN_OR_RETURN(std::vector<EventBatch> history, History(prefix, from));
  return hub_.Add(std::string(prefix), std::move(history), std::move(callback));
}

Status SqliteStore::Compact(Revision before) {
  std::lock_guard lock(mutex_);
  return InTransaction([&]() -> Status {
    ASSIGN_OR_RETURN(Revision current, Meta("current"));
    ASSIGN_OR_RETURN(Revision compacted, Meta("compacted"));
    if (before > current) {
      return InvalidArgument("cannot forget up to ", FormatRevision(before),
                             ": the newest revision is ", FormatRevision(current));
    }
    if (before <= compacted) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(SqliteStatement erase,
                     database_.Prepare("DELETE FROM event WHERE (term, n) <= (?, ?)"));
    RETURN_IF_ERROR(erase.Bind(before.term).Bind(before.n).Run());
    return SetMeta("compacted", before);
  });
}

Status SqliteStore::BeginTerm() {
  std::lock_guard lock(mutex_);
  return InTransaction([&]() -> Status {
    ASSIGN_OR_RETURN(Revision current, Meta("current"));
    Revision first{current.term + 1, 0};
    RETURN_IF_ERROR(database_.Execute("DELETE FROM event"));
    RETURN_IF_ERROR(SetMeta("current", first));
    return SetMeta("compacted", first);
  });
}

Status CheckIntegrity(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(SqliteStatement check, database.Prepare("PRAGMA integrity_check(1)"));
  ASSIGN_OR_RETURN(bool row, check.Step());
  std::string finding = row ? check.Bytes(0) : "no answer";
  if (finding != "ok") {
    return DataLoss(database.path(), " is damaged (", Quoted(finding, 200),
                    "); it was left as it is: keep a copy, then run countersign-server restore ",
                    "with a backup");
  }
  return absl::OkStatus();
}

Status PrepareSchema(SqliteDatabase& database) {
  ASSIGN_OR_RETURN(SqliteStatement select, database.Prepare("PRAGMA user_version"));
  ASSIGN_OR_RETURN(bool row, select.Step());
  uint64_t version = row ? select.Number(0) : 0;
  if (version > kSchemaVersion) {
    return FailedPrecondition(database.path(), " was written by a newer version of this program ",
                              "(format ", version, ", this one knows ", kSchemaVersion,
                              "); run that version");
  }
  if (version == kSchemaVersion) {
    return CheckIntegrity(database);
  }
  RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  for (std::string_view sql : kSchema) {
    RETURN_IF_ERROR(database.Execute(sql));
  }
  RETURN_IF_ERROR(database.Execute(Concat("PRAGMA user_version = ", kSchemaVersion)));
  return database.Execute("COMMIT");
}

// SQLite makes files with mode 0644 less the umask, and opens a file it cannot write read-only:
// make the file, and see that it can be written, before SQLite does.
Status MakeFile(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) {
    int error_number = errno;
    if (error_number == EROFS || error_number == EACCES) {
      return FailedPrecondition(Message(ErrnoError(error_number, Concat("open ", path))),
                                "; mount its file system read-write, or give the file and its ",
                                "folder to this program's user");
    }
    return ErrnoError(error_number, Concat("open ", path));
  }
  return absl::OkStatus();
}

Status CopyInto(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(SqliteDatabase database, SqliteDatabase::Open(from, SQLITE_OPEN_READWRITE));
  ASSIGN_OR_RETURN(SqliteStatement copy, database.Prepare("VACUUM INTO CAST(? AS TEXT)"));
  return copy.Bind(to).Run();
}

}  // namespace

StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options) {
  RETURN_IF_ERROR(MakeFile(options.path));
  ASSIGN_OR_RETURN(SqliteDatabase database,
                   SqliteDatabase::Open(options.path, SQLITE_OPEN_READWRITE));
  RETURN_IF_ERROR(database.Execute("PRAGMA journal_mode = WAL"));
  RETURN_IF_ERROR(database.Execute("PRAGMA synchronous = FULL"));
  if (options.pages_max != 0) {
    RETURN_IF_ERROR(database.Execute(Concat("PRAGMA max_page_count = ", options.pages_max)));
  }
  RETURN_IF_ERROR(PrepareSchema(database));
  return std::make_unique<SqliteStore>(std::move(database));
}

Status BackUpSqliteStore(const std::string& from, const std::string& to) {
  std::error_code error;
  if (std::filesystem::exists(to, error)) {
    return AlreadyExists(to, " exists already; choose another name");
  }
  if (!std::filesystem::exists(from, error)) {
    return NotFound("there is no store at ", from);
  }
  // Under another name first: what a full disk or a power failure leaves must not look like a
  // backup.
  std::string unfinished = Concat(to, ".", ::getpid(), ".new");
  std::filesystem::remove(unfinished, error);
  Status status = CopyInto(from, unfinished);
  if (status.ok()) {
    status = SyncFile(unfinished);
  }
  if (status.ok() && ::rename(unfinished.c_str(), to.c_str()) != 0) {
    status = ErrnoError(errno, Concat("name the backup ", to));
  }
  if (!status.ok()) {
    std::filesystem::remove(unfinished, error);
    return status;
  }
  std::string folder = std::filesystem::path(to).parent_path().string();
  return SyncFolder(folder.empty() ? "." : folder);
}

}  // namespace countersign::server
