// One child process of the development mesh: how it is started, and its end.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace countersign::cli::dev {

// Account is the user a child runs as. Absent: the caller's own.
struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

// ProcessSpec says how to start a child. `log_file` gets its standard output and error.
struct ProcessSpec {
  std::string name;
  std::vector<std::string> command;  // command[0] is looked up in PATH.
  std::optional<Account> account;
  std::map<std::string, std::string> environment;  // Added to a clean PATH and HOME.
  std::string log_file;
};

// Start forks and executes. The child is killed by the kernel if this process dies, has no
// supplementary groups and a process group of its own (Ctrl-C reaches the supervisor alone). An
// exec that fails is an error here, not a child that ends.
StatusOr<pid_t> Start(const ProcessSpec& spec);

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};
// Run starts a command of our own, waits for it and returns what it printed (1 MiB at most of
// each).
StatusOr<Outcome> Run(const std::vector<std::string>& command,
                      const std::map<std::string, std::string>& environment);

}  // namespace countersign::cli::dev
