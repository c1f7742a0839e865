// Keeps a set of child processes running: restarts what ends, with back-off, and stops all in the
// reverse order of their start.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "cli/dev/process.h"

namespace countersign::cli::dev {

// Supervisor owns its children. One thread; it blocks SIGCHLD, SIGINT and SIGTERM for the process
// and reads them itself.
class Supervisor {
 public:
  struct Limits {
    std::chrono::milliseconds restart_first{
        100};  // A proxy's restart is a gap in service: be quick.
    std::chrono::milliseconds restart_max{5000};  // A child that cannot start must not eat the CPU.
    std::chrono::seconds steady{10};              // Running this long resets the back-off.
    std::chrono::seconds stop{5};                 // SIGTERM first, SIGKILL after this.
  };

  // `state_file` lists each child's name, pid and restarts as JSON after each change.
  static StatusOr<Supervisor> Create(std::string state_file, Limits limits);
  Supervisor(Supervisor&&) = default;
  ~Supervisor();

  Status Add(ProcessSpec spec);
  // WaitUntil supervises until `done` says true; a signal to stop is Cancelled, the time
  // DeadlineExceeded.
  Status WaitUntil(const std::function<bool()>& done, std::chrono::milliseconds time_out);
  // Run supervises until SIGINT or SIGTERM.
  void Run();
  void StopAll();
  // Restarts counts how often a child has ended and been started again; 0 for an unknown name.
  uint32_t Restarts(std::string_view name) const;

 private:
  struct Child {
    ProcessSpec spec;
    pid_t pid = -1;
    uint32_t restarts = 0;
    std::chrono::steady_clock::time_point started;
    std::chrono::steady_clock::time_point next_start;
    std::chrono::milliseconds back_off{0};
  };
  Supervisor(std::string state_file, Limits limits, Fd signals)
      : state_file_(std::move(state_file)), limits_(limits), signals_(std::move(signals)) {}
  // One turn of at most `wait`; false when a signal asks to stop.
  bool Turn(std::chrono::milliseconds wait);
  void Reap();
  void StartDue();
  void WriteState() const;

  std::string state_file_;
  Limits limits_;
  Fd signals_;
  std::vector<Child> children_;
};

}  // namespace countersign::cli::dev
