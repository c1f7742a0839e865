// ChildProcess is one of the project's programs, run by a test and ended with it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace countersign {

class ChildProcess {
 public:
  // Start runs argv[0]; standard output and error go to `log_path`.
  static std::unique_ptr<ChildProcess> Start(const std::vector<std::string>& argv,
                                             const std::string& log_path);
  ~ChildProcess();  // SIGTERM, and SIGKILL if that is not heard in five seconds.
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  std::string Log() const;
  // WaitForLog waits until the log contains `text`; false when it does not, or the process ends.
  bool WaitForLog(std::string_view text, std::chrono::milliseconds patience) const;
  // Stop sends SIGTERM and returns the exit status, or -1 when it had to be killed or crashed.
  int Stop();

 private:
  ChildProcess(pid_t pid, int pid_fd, std::string log_path)
      : pid_(pid), pid_fd_(pid_fd), log_path_(std::move(log_path)) {}
  bool WaitForExit(std::chrono::milliseconds patience) const;

  pid_t pid_;
  int pid_fd_;
  std::string log_path_;
};

}  // namespace countersign
