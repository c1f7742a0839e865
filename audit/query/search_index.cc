#include "audit/query/search_index.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstdio>
#include <functional>

namespace countersign::audit {
namespace {

constexpr int kBusyMs = 10'000;            // Another search may be filling the index.
constexpr uint64_t kStepEntries = 20'000;  // A transaction; a long fill can be interrupted.

constexpr const char* kTables = R"(
  CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER, root BLOB);
  CREATE TABLE IF NOT EXISTS decision (
    entry INTEGER PRIMARY KEY, id BLOB NOT NULL, time INTEGER NOT NULL, caller TEXT NOT NULL,
    callee TEXT NOT NULL, rule TEXT NOT NULL, effect INTEGER NOT NULL, reason INTEGER NOT NULL,
    path BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS decision_id ON decision (id);
  CREATE INDEX IF NOT EXISTS decision_caller ON decision (caller, entry);
  CREATE INDEX IF NOT EXISTS decision_callee ON decision (callee, entry);
  CREATE INDEX IF NOT EXISTS decision_rule ON decision (rule, entry);
  CREATE INDEX IF NOT EXISTS decision_denied ON decision (entry) WHERE effect = 0;
  CREATE INDEX IF NOT EXISTS decision_time ON decision (time);
  CREATE TABLE IF NOT EXISTS completion (entry INTEGER PRIMARY KEY, id BLOB NOT NULL);
  CREATE INDEX IF NOT EXISTS completion_id ON completion (id);
)";

struct StatementDeleter {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, StatementDeleter>;

Statement Prepare(sqlite3* db, const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, nullptr);
  return Statement(raw);
}

void BindBytes(sqlite3_stmt* statement, int at, std::string_view bytes) {
  sqlite3_bind_blob64(statement, at, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
}
void BindText(sqlite3_stmt* statement, int at, std::string_view text) {
  sqlite3_bind_text64(statement, at, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}
void BindNumber(sqlite3_stmt* statement, int at, int64_t number) {
  sqlite3_bind_int64(statement, at, number);
}
template <size_t N>
std::string_view View(const std::array<uint8_t, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

// Conditions gathers the WHERE clause with what is bound to it.
class Conditions {
 public:
  template <class Bind>
  void Add(const char* sql, Bind bind) {
    // Parameters are numbered, so that a condition may name its own twice.
    binds_.emplace_back(std::move(bind));
    std::string numbered = Concat("?", binds_.size());
    where_ += where_.empty() ? " WHERE " : " AND ";
    for (char c : std::string_view(sql)) {
      where_ += c == '?' ? numbered : std::string(1, c);
    }
  }
  const std::string& where() const { return where_; }
  int BindAll(sqlite3_stmt* statement) const {
    int at = 1;
    for (const auto& bind : binds_) {
      bind(statement, at++);
    }
    return at;
  }

 private:
  std::string where_;
  std::vector<std::function<void(sqlite3_stmt*, int)>> binds_;
};

Conditions ConditionsOf(const SearchQuery& query) {
  Conditions all;
  auto text = [](const std::string& value) {
    return [value](sqlite3_stmt* s, int at) { BindText(s, at, value); };
  };
  auto number = [](int64_t value) {
    return [value](sqlite3_stmt* s, int at) { BindNumber(s, at, value); };
  };
  if (query.id.has_value()) {
    all.Add("id = ?", [id = *query.id](sqlite3_stmt* s, int at) { BindBytes(s, at, View(id)); });
  }
  if (query.caller.has_value()) {
    all.Add("caller = ?", text(*query.caller));
  }
  if (query.callee.has_value()) {
    all.Add("callee = ?", text(*query.callee));
  }
  if (query.rule.has_value()) {
    all.Add("rule = ?", text(*query.rule));
  }
  if (query.effect.has_value()) {
    // The constant, not a parameter, lets SQLite use the partial index over denials.
    all.Add(*query.effect == authz::Effect::kDeny ? "effect = 0 AND 1 = ?" : "effect = 1 AND 1 = ?",
            number(1));
  }
  if (query.reason.has_value()) {
    all.Add("reason = ?", number(static_cast<int64_t>(*query.reason)));
  }
  if (query.path_prefix.has_value()) {
    all.Add("substr(path, 1, length(?)) = ?",
            [prefix = *query.path_prefix](sqlite3_stmt* s, int at) { BindBytes(s, at, prefix); });
  }
  if (query.since.has_value()) {
    all.Add("time >= ?", number(query.since->time_since_epoch().count()));
  }
  if (query.until.has_value()) {
    all.Add("time < ?", number(query.until->time_since_epoch().count()));
  }
  return all;
}

}  // namespace

SearchIndex::~SearchIndex() { sqlite3_close(db_); }

Status SearchIndex::Error(const char* what) const {
  return Unavailable("audit index: ", what, ": ", sqlite3_errmsg(db_));
}

Status SearchIndex::Run(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                        : Error("run");
}

Status SearchIndex::MakeTables() {
  sqlite3_busy_timeout(db_, kBusyMs);
  // What a power failure spoils is made again from the log.
  RETURN_IF_ERROR(Run("PRAGMA synchronous = OFF; PRAGMA trusted_schema = OFF"));
  return Run(kTables);
}

StatusOr<std::unique_ptr<SearchIndex>> SearchIndex::OpenAt(const std::string& path) {
  sqlite3* db = nullptr;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW;
  int opened = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  std::unique_ptr<SearchIndex> index(new SearchIndex(db));
  Status made = opened == SQLITE_OK ? index->MakeTables() : index->Error("open");
  int error = sqlite3_errcode(db);
  if (!made.ok()) {
    return error == SQLITE_NOTADB || error == SQLITE_CORRUPT ? DataLoss(Message(made)) : made;
  }
  return index;
}

StatusOr<std::unique_ptr<SearchIndex>> SearchIndex::Open(const std::string& folder) {
  std::string path = folder + "/index.sqlite";
  StatusOr<std::unique_ptr<SearchIndex>> index = OpenAt(path);
  if (index.status().code() == StatusCode::kDataLoss) {
    ::remove(path.c_str());
    index = OpenAt(path);
  }
  return index;
}

StatusOr<std::unique_ptr<SearchIndex>> SearchIndex::OpenInMemory() { return OpenAt(":memory:"); }

StatusOr<bool> SearchIndex::IsOfThisLog(LogReader& reader) {
  Statement select = Prepare(db_, "SELECT size, root FROM place");
  if (select == nullptr) {
    return Error("read its place");
  }
  if (sqlite3_step(select.get()) != SQLITE_ROW) {
    return false;
  }
  indexed_ = static_cast<uint64_t>(sqlite3_column_int64(select.get(), 0));
  std::string_view root(static_cast<const char*>(sqlite3_column_blob(select.get(), 1)),
                        static_cast<size_t>(sqlite3_column_bytes(select.get(), 1)));
  if (indexed_ > reader.size()) {
    return false;
  }
  StatusOr<TreeHash> expected = reader.RootAt(indexed_);
  return expected.ok() && root == View(*expected);
}

Status SearchIndex::KeepPlace(LogReader& reader, uint64_t size) {
  ASSIGN_OR_RETURN(TreeHash root, reader.RootAt(size));
  Statement insert = Prepare(db_, "INSERT OR REPLACE INTO place VALUES (1, ?, ?)");
  if (insert == nullptr) {
    return Error("keep its place");
  }
  BindNumber(insert.get(), 1, static_cast<int64_t>(size));
  BindBytes(insert.get(), 2, View(root));
  return sqlite3_step(insert.get()) == SQLITE_DONE ? absl::OkStatus() : Error("keep its place");
}

Status SearchIndex::AddRange(LogReader& reader, uint64_t begin, uint64_t end) {
  Statement decision =
      Prepare(db_, "INSERT OR REPLACE INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  Statement completion = Prepare(db_, "INSERT OR REPLACE INTO completion VALUES (?, ?)");
  if (decision == nullptr || completion == nullptr) {
    return Error("prepare");
  }
  for (uint64_t i = begin; i < end; ++i) {
    StatusOr<LocatedRecord> located = reader.Record(i);
    if (located.status().code() == StatusCode::kNotFound) {
      return located.status();
    }
    if (!located.ok()) {
      continue;  // An altered record hides itself only; `audit verify` names it.
    }
    sqlite3_stmt* insert = nullptr;
    const AnyRecord& value = located->record.value();
    if (const auto* r = std::get_if<DecisionRecord>(&value)) {
      insert = decision.get();
      BindBytes(insert, 2, View(r->id));
      BindNumber(insert, 3, r->time_ns);
      BindText(insert, 4, r->caller);
      BindText(insert, 5, r->callee);
      BindText(insert, 6, r->rule);
      BindNumber(insert, 7, static_cast<int64_t>(r->effect));
      BindNumber(insert, 8, static_cast<int64_t>(r->reason));
      BindBytes(insert, 9, r->path);
    } else if (const auto* done = std::get_if<CompletionRecord>(&value)) {
      insert = completion.get();
      BindBytes(insert, 2, View(done->id));
    } else {
      continue;
    }
    BindNumber(insert, 1, static_cast<int64_t>(i));
    if (sqlite3_step(insert) != SQLITE_DONE) {
      return Error("insert");
    }
    sqlite3_reset(insert);
  }
  return absl::OkStatus();
}

Status SearchIndex::CatchUp(LogReader& reader) {
  for (;;) {
    RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
    StatusOr<bool> fits = IsOfThisLog(reader);
    Status status = fits.status();
    if (fits.ok() && !*fits) {
      indexed_ = 0;
      status = Run("DELETE FROM decision; DELETE FROM completion; DELETE FROM place");
    }
    uint64_t end = std::min(reader.size(), indexed_ + kStepEntries);
    if (status.ok() && (indexed_ < end || !*fits)) {
      status = AddRange(reader, indexed_, end);
    }
    if (status.ok()) {
      status = KeepPlace(reader, end);
    }
    if (!status.ok()) {
      [[maybe_unused]] Status ignored = Run("ROLLBACK");
      return status;
    }
    RETURN_IF_ERROR(Run("COMMIT"));
    if (end == reader.size()) {
      return absl::OkStatus();
    }
  }
}

StatusOr<std::vector<uint64_t>> SearchIndex::Decisions(const SearchQuery& query) {
  Conditions conditions = ConditionsOf(query);
  Statement select = Prepare(db_, Concat("SELECT entry FROM decision", conditions.where(),
                                         " ORDER BY entry DESC LIMIT ?"));
  if (select == nullptr) {
    return Error("prepare a search");
  }
  int at = conditions.BindAll(select.get());
  BindNumber(select.get(), at, static_cast<int64_t>(query.limit));
  std::vector<uint64_t> places;
  int step = SQLITE_ROW;
  while ((step = sqlite3_step(select.get())) == SQLITE_ROW) {
    places.push_back(static_cast<uint64_t>(sqlite3_column_int64(select.get(), 0)));
  }
  return step == SQLITE_DONE ? StatusOr<std::vector<uint64_t>>(std::move(places)) : Error("search");
}

StatusOr<std::optional<uint64_t>> SearchIndex::Completion(const DecisionId& id) {
  Statement select =
      Prepare(db_, "SELECT entry FROM completion WHERE id = ? ORDER BY entry DESC LIMIT 1");
  if (select == nullptr) {
    return Error("prepare a search");
  }
  BindBytes(select.get(), 1, View(id));
  if (sqlite3_step(select.get()) != SQLITE_ROW) {
    return std::optional<uint64_t>();
  }
  return std::optional<uint64_t>(static_cast<uint64_t>(sqlite3_column_int64(select.get(), 0)));
}

}  // namespace countersign::audit
