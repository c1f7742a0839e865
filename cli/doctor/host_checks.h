// What `countersign doctor` looks at on a host. Each check reads only, and says how to mend what it
// finds.
#pragma once

#include <string>
#include <vector>

namespace countersign::cli::doctor {

enum class Health { kGood, kWarning, kBad };

// Finding is the result of one check.
struct Finding {
  std::string check;
  Health health = Health::kGood;
  std::string what;
  std::string mend;  // Empty if good.
};

// HostPaths are the sockets and folders to look at; an empty one is not looked at.
struct HostPaths {
  std::string server_socket;
  std::string agent_socket;
  std::string audit_dir;
};

std::vector<Finding> CheckHost(const HostPaths& paths);

}  // namespace countersign::cli::doctor
