#include "identity/server/restore.h"

#include <filesystem>
#include <memory>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "identity/server/sqlite_store.h"

namespace countersign::server {
namespace {

std::string StorePath(const std::string& data_dir) { return Concat(data_dir, "/store.db"); }

Status Rename(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  return error ? ErrnoError(error.value(), Concat("rename ", from)) : absl::OkStatus();
}

}  // namespace

Status BackUpDataFolder(const std::string& data_dir, const std::string& to) {
  RETURN_IF_ERROR(BackUpSqliteStore(StorePath(data_dir), to));
  LogInfo("backup written", {{"path", to},
                             {"not_in_it", Concat(data_dir,
                                                  "/ca, the authority and its key: keep a "
                                                  "copy of it as safe as the key")}});
  return absl::OkStatus();
}

Status RestoreDataFolder(const std::string& data_dir, const std::string& from) {
  RETURN_IF_ERROR(MakeFolder(data_dir, 0700));
  ASSIGN_OR_RETURN(Fd lock, LockFolder(data_dir));
  std::string fresh = Concat(data_dir, "/store.db.restored");
  std::error_code error;
  std::filesystem::remove(fresh, error);
  RETURN_IF_ERROR(BackUpSqliteStore(from, fresh));
  {
    ASSIGN_OR_RETURN(std::unique_ptr<Store> store, OpenSqliteStore({fresh}));
    RETURN_IF_ERROR(store->BeginTerm());
  }  // Closing it folds the write-ahead log into the file.
  std::string path = StorePath(data_dir);
  if (std::filesystem::exists(path, error)) {
    std::string kept = Concat(path, ".before-restore.", FormatTime(Clock::System().Now()));
    RETURN_IF_ERROR(Rename(path, kept));
    LogInfo("former store kept", {{"path", kept}});
    for (const char* suffix : {"-wal", "-shm"}) {
      if (std::filesystem::exists(path + suffix, error)) {
        RETURN_IF_ERROR(Rename(path + suffix, kept + suffix));
      }
    }
  }
  RETURN_IF_ERROR(Rename(fresh, path));
  RETURN_IF_ERROR(SyncFolder(data_dir));
  LogInfo("store restored", {{"from", from}});
  if (!std::filesystem::exists(Concat(data_dir, "/ca"), error)) {
    LogWarning(
        "there is no authority here: the server will make a new one, and every agent must "
        "attest again; put the former ca folder back first",
        {{"folder", Concat(data_dir, "/ca")}});
  }
  return absl::OkStatus();
}

}  // namespace countersign::server
