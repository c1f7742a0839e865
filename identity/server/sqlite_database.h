// A thin, throw-free layer over the SQLite C API: statements that close themselves, and errors that
// say what an operator should do. Only the SQLite store uses it.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign::server {

template <auto Free>
struct SqliteDeleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using SqliteHandle = std::unique_ptr<sqlite3, SqliteDeleter<sqlite3_close_v2>>;
using SqliteStatementHandle = std::unique_ptr<sqlite3_stmt, SqliteDeleter<sqlite3_finalize>>;

// SqliteStatement is one prepared statement, used once. Not thread-safe.
class SqliteStatement {
 public:
  SqliteStatement(SqliteStatementHandle statement, std::string_view path)
      : statement_(std::move(statement)), path_(path) {}
  // Bind gives the next parameter; the bytes must live until the last Step.
  SqliteStatement& Bind(std::string_view bytes);
  SqliteStatement& Bind(uint64_t number);
  // Step is true if there is a row.
  StatusOr<bool> Step();
  // Run steps to the end.
  Status Run();
  std::string Bytes(int column) const;
  uint64_t Number(int column) const;

 private:
  SqliteStatementHandle statement_;
  std::string path_;
  int next_parameter_ = 1;
};

// SqliteDatabase is one connection. Not thread-safe.
class SqliteDatabase {
 public:
  static StatusOr<SqliteDatabase> Open(const std::string& path, int flags);
  StatusOr<SqliteStatement> Prepare(std::string_view sql);
  Status Execute(std::string_view sql);
  const std::string& path() const { return path_; }

 private:
  SqliteDatabase(SqliteHandle handle, std::string path)
      : handle_(std::move(handle)), path_(std::move(path)) {}
  SqliteHandle handle_;
  std::string path_;
};

// SqliteError is a sentence for an extended result code, read from the connection if there is one.
Status SqliteError(sqlite3* handle, int code, std::string_view path);

}  // namespace countersign::server
