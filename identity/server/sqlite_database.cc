#include "identity/server/sqlite_database.h"

#include <cerrno>
#include <utility>

namespace countersign::server {

Status SqliteError(sqlite3* handle, int code, std::string_view path) {
  const char* detail = handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  bool no_space = handle != nullptr && sqlite3_system_errno(handle) == ENOSPC;
  switch (code & 0xff) {
    case SQLITE_IOERR:
      if (!no_space) {
        return Unavailable(path, " cannot be read or written (", detail,
                           "); look at the kernel's log for a failing disk");
      }
      [[fallthrough]];
    case SQLITE_FULL:
      return ResourceExhausted(path, " cannot grow: the disk is full; nothing was changed; free ",
                               "space on its file system and try again");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return FailedPrecondition(path, " cannot be opened for writing (", detail,
                                "); mount its file system read-write, or give the file and its ",
                                "folder to this program's user");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss(path, " is damaged (", detail, "); it was left as it is: keep a copy, then ",
                      "run countersign-server restore with a backup");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable(path, " is locked by another process; stop it and try again");
    default:
      return Internal(path, ": ", detail);
  }
}

SqliteStatement& SqliteStatement::Bind(std::string_view bytes) {
  // A null pointer would bind NULL instead of an empty value.
  const char* data = bytes.data() != nullptr ? bytes.data() : "";
  int code =
      sqlite3_bind_blob64(statement_.get(), next_parameter_++, data, bytes.size(), SQLITE_STATIC);
  CHECK(code == SQLITE_OK);
  return *this;
}

SqliteStatement& SqliteStatement::Bind(uint64_t number) {
  int code =
      sqlite3_bind_int64(statement_.get(), next_parameter_++, static_cast<sqlite3_int64>(number));
  CHECK(code == SQLITE_OK);
  return *this;
}

StatusOr<bool> SqliteStatement::Step() {
  int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW || code == SQLITE_DONE) {
    return code == SQLITE_ROW;
  }
  return SqliteError(sqlite3_db_handle(statement_.get()), code, path_);
}

Status SqliteStatement::Run() {
  for (;;) {
    ASSIGN_OR_RETURN(bool row, Step());
    if (!row) {
      return absl::OkStatus();
    }
  }
}

std::string SqliteStatement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string()
                         : std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

uint64_t SqliteStatement::Number(int column) const {
  return static_cast<uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

StatusOr<SqliteDatabase> SqliteDatabase::Open(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_FULLMUTEX, nullptr);
  SqliteHandle handle(raw);
  if (code != SQLITE_OK) {
    return SqliteError(handle.get(), code, path);
  }
  sqlite3_extended_result_codes(handle.get(), 1);
  sqlite3_busy_timeout(handle.get(), 5000);  // A backup may hold it for a moment.
  return SqliteDatabase(std::move(handle), path);
}

StatusOr<SqliteStatement> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  int code =
      sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  SqliteStatementHandle statement(raw);
  if (code != SQLITE_OK) {
    return SqliteError(handle_.get(), code, path_);
  }
  return SqliteStatement(std::move(statement), path_);
}

Status SqliteDatabase::Execute(std::string_view sql) {
  ASSIGN_OR_RETURN(SqliteStatement statement, Prepare(sql));
  return statement.Run();
}

}  // namespace countersign::server
