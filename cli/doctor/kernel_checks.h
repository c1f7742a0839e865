// What the kernel must give to the programs, and how it is set up. Each check reads only.
#pragma once

#include "cli/doctor/finding.h"

namespace countersign::cli::doctor {

// CheckKernel looks at the running kernel and this process's limits; `proc` is where the kernel
// shows its settings, /proc but for tests.
Findings CheckKernel(const std::string& proc);

// JudgeClock reads what adjtimex answered: its result, and the status it filled in.
struct ClockState {
  int answer = 0;
  int status = 0;
};
Finding JudgeClock(const ClockState& state);

}  // namespace countersign::cli::doctor
