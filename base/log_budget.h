// How often one user may make the agent write to its log.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <mutex>

#include "base/clock.h"

namespace countersign {

// LogBudget counts lines by user and minute, so that nobody fills the disk by being refused. Safe
// for any thread.
class LogBudget {
 public:
  LogBudget(size_t lines_per_minute_max, const Clock& clock)
      : lines_per_minute_max_(lines_per_minute_max), clock_(clock) {}

  enum class Verdict { kWrite, kWriteAndSayLast, kSkip };
  // Take spends one line of the user's.
  Verdict Take(uid_t uid) {
    std::lock_guard lock(mutex_);
    MonotonicTime now = clock_.Monotonic();
    std::erase_if(spent_, [now](const auto& entry) {
      return now - entry.second.minute_began >= std::chrono::minutes(1);
    });
    Spent& spent = spent_.try_emplace(uid, Spent{now, 0}).first->second;
    if (spent.lines >= lines_per_minute_max_) {
      return Verdict::kSkip;
    }
    return ++spent.lines == lines_per_minute_max_ ? Verdict::kWriteAndSayLast : Verdict::kWrite;
  }

 private:
  struct Spent {
    MonotonicTime minute_began;
    size_t lines = 0;
  };
  const size_t lines_per_minute_max_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<uid_t, Spent> spent_;  // Guarded by mutex_.
};

}  // namespace countersign
