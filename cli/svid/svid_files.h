// Writes an identity where programs that read files look for it, and tells such a program.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "cli/svid/workload_api_client.h"

namespace countersign::cli::svid {

// WriteIdentity writes bundle.pem, key.pem (0600) and svid.pem into `folder`, each whole or not at
// all, and in this order, so that a reader of svid.pem finds nothing older beside it.
Status WriteIdentity(const WorkloadIdentity& identity, const std::string& folder);

// SignalTarget says whom to tell: a process, or the file that holds its number.
struct SignalTarget {
  int signal_number = 0;
  std::string pid_file;  // Empty: `pid` is meant.
  int pid = 0;           // 0: nobody.
};
// ParseSignal reads HUP, SIGHUP, USR1, USR2 or TERM.
StatusOr<int> ParseSignal(std::string_view name);
Status Tell(const SignalTarget& target);

}  // namespace countersign::cli::svid
