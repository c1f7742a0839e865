// SqliteStore keeps the store in one SQLite file: the default for one server.
//
// WAL with synchronous=FULL: a transaction that returned survives a crash of the process and of
// the machine. The file is checked whole at each start.
#pragma once

#include <memory>
#include <string>

#include "identity/server/store.h"

namespace countersign::server {

struct SqliteStoreOptions {
  std::string path;
  // Most pages of 4 KiB that the file may take; 0 leaves SQLite's own limit. Past it every change
  // fails as on a full disk, and what is stored stays.
  uint64_t pages_max = 0;
};

// OpenSqliteStore makes the file (mode 0600) or opens it. A damaged file, a read-only folder and a
// file of a newer version are errors that say what to do; the file is never repaired or replaced.
StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteStoreOptions& options);

// BackUpSqliteStore writes a consistent copy of a store, also while a server uses it. `to` must not
// exist.
Status BackUpSqliteStore(const std::string& from, const std::string& to);

}  // namespace countersign::server
