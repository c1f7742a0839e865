// Files read whole under a limit and written so that a crash leaves the old or the new one.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/status.h"

namespace countersign {

// ReadFile reads a regular file of at most `bytes_max` bytes; larger is an error naming the limit.
StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max);

// ReadSecretFile is ReadFile that refuses a file which group or others may open, or that somebody
// other than this process's user or root owns.
StatusOr<std::string> ReadSecretFile(const std::string& path, size_t bytes_max);

// WriteFileAtomically writes beside `path`, syncs, renames, syncs the folder.
Status WriteFileAtomically(const std::string& path, std::string_view content, unsigned mode);

// MakeFolder makes `path` and its parents with `mode`; an existing folder is left as it is.
Status MakeFolder(const std::string& path, unsigned mode);

// CheckSocketFolder refuses a folder for a Unix socket in which somebody other than this process's
// user and root could put another socket in its place: one that others may write to (the sticky bit
// does not help: while this process is down, its socket's name is free), one of another user, one
// reached over a symbolic link, and one below a folder of which this is true, where the sticky bit
// does help. The error says what to do. `socket_path` is the socket's own.
Status CheckSocketFolder(const std::string& socket_path);

// SyncFile and SyncFolder make what was written to a file, and the names in a folder, durable.
Status SyncFile(const std::string& path);
Status SyncFolder(const std::string& path);

// LockFolder takes an exclusive lock on `folder`/lock for the life of the Fd, so that a second
// process on the same data is refused with a sentence that says so.
StatusOr<Fd> LockFolder(const std::string& folder);

}  // namespace countersign
