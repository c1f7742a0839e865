// WindowLogs: the decisions that policies made, of some logs, in a window of time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "audit/query/log_reader.h"
#include "audit/record/decision_record.h"
#include "base/clock.h"
#include "base/status.h"

namespace countersign::audit {

// LogWindow is which records are meant.
struct LogWindow {
  std::vector<std::string> folders;  // One log each.
  std::optional<std::string> vkey;   // The key to trust, else the one beside each log.
  std::optional<WallTime> since;     // Decisions at or after it.
  std::optional<WallTime> until;     // Decisions before it.
  // Told now and then how many entries of how many have been read.
  std::function<void(uint64_t read, uint64_t of)> progress;
};

// WindowCounts is what was read.
struct WindowCounts {
  uint64_t entries = 0;    // Of the logs, all of them.
  uint64_t decisions = 0;  // In the window.
  uint64_t other = 0;      // Of them: probes, the outbound side, proxies that were not ready.
  uint64_t missing = 0;    // Records that were lost before they were logged, by gaps in the window.
};

// WindowLogs sees exactly what the checkpoints covered when it was opened, however often it reads.
// For one thread.
class WindowLogs {
 public:
  // Fails as LogReader::Open does.
  static StatusOr<WindowLogs> Open(const LogWindow& window);

  // ForEachDecision calls `take` with every decision of the window that policies made; an error of
  // its own ends the reading. DataLoss if a log is not whole: then what `take` was given counts for
  // nothing.
  using TakeDecision = std::function<Status(const DecisionRecord& record)>;
  StatusOr<WindowCounts> ForEachDecision(const TakeDecision& take);

 private:
  WindowLogs(LogWindow window, std::vector<LogReader> logs)
      : window_(std::move(window)), logs_(std::move(logs)) {}
  bool IsIn(int64_t time_ns) const;
  Status Take(std::string_view entry, uint64_t index, const TakeDecision& take,
              WindowCounts& counts) const;

  LogWindow window_;
  std::vector<LogReader> logs_;
};

}  // namespace countersign::audit
