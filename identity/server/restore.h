// Backup and restore of a server's store. Keys are not part of a backup: an operator keeps the
// folder of the authority apart, or lets a new one begin.
#pragma once

#include <string>

#include "base/status.h"

namespace countersign::server {

// BackUpDataFolder copies the store, also while a server uses it.
Status BackUpDataFolder(const std::string& data_dir, const std::string& to);

// RestoreDataFolder puts a copy in the store's place and starts a new term, so that agents which
// saw later revisions take the restored state. The former file is kept beside it. Refused while a
// server uses the folder, and for a damaged copy.
Status RestoreDataFolder(const std::string& data_dir, const std::string& from);

}  // namespace countersign::server
