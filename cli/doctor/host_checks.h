// What `countersign doctor` looks at on a host. Each check reads only, and says how to mend what it
// finds.
#pragma once

#include <span>

#include "authz/kinds/loader.h"
#include "base/clock.h"
#include "cli/doctor/finding.h"

namespace countersign::cli::doctor {

struct DoctorLimits {
  static constexpr uint64_t kFreeBytesLeast = 1ULL
                                              << 30;   // A day of records, some hundred a second.
  static constexpr size_t kFilesMax = 10000;           // Of one data folder: one SVID, one file.
  static constexpr size_t kFileBytesMax = 256 * 1024;  // As the authority's own limit.
  static constexpr int kLifeLeftLeast = 5;  // Warn when a fifth of a certificate's life is left.
};

// HostPaths are the sockets and folders to look at; an empty one is not looked at.
struct HostPaths {
  std::string server_socket;
  std::string agent_socket;
  std::string audit_dir;
  std::string server_data;
  std::string agent_data;
};

// CheckFolders looks at sockets, the folders around them, private files, what space is left, and
// when the authority and the agent's own SVID end.
Findings CheckFolders(const HostPaths& paths, WallTime now);

// CheckDocuments looks at what Services and Registrations expect of this host: ports that other
// programs hold, applications that can be reached past their proxy, users that must differ.
// `proc` as in CheckKernel.
Findings CheckDocuments(const authz::LoadResult& documents, const std::string& proc);

}  // namespace countersign::cli::doctor
