// The options of verbs that read a window of audit logs and say how far they are.
#pragma once

#include <string>
#include <vector>

#include "audit/replay/replay.h"
#include "cli/command.h"

namespace CLI {
class App;
}

namespace countersign::cli {

struct LogWindowOptions {
  std::vector<std::string> logs;
  std::string since;
  std::string until;
  std::string vkey;
};

void AddLogWindow(CLI::App& verb, LogWindowOptions& options);

// ToLogWindow reads the options; without --log it is the log of --audit-dir. Progress goes to the
// context's error stream once the work takes longer than some seconds.
StatusOr<audit::LogWindow> ToLogWindow(const LogWindowOptions& options, Context& context);

}  // namespace countersign::cli
