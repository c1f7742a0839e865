#include "tests/support/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/file.h"

extern char** environ;

namespace countersign {

std::unique_ptr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& argv,
                                                  const std::string& log_path) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = -1;
  const int result =
      ::posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  CHECK(result == 0);
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  CHECK(pid_fd >= 0);
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, pid_fd, log_path));
}

ChildProcess::~ChildProcess() {
  Stop();
  ::close(pid_fd_);
}

std::string ChildProcess::Log() const {
  constexpr size_t kLogBytesMax = 64 << 20;
  const auto log = ReadFile(log_path_, kLogBytesMax);
  return log.ok() ? *log : "";
}

bool ChildProcess::WaitForExit(std::chrono::milliseconds patience) const {
  pollfd poll_fd = {.fd = pid_fd_, .events = POLLIN, .revents = 0};
  return ::poll(&poll_fd, 1, static_cast<int>(patience.count())) > 0;
}

bool ChildProcess::WaitForLog(std::string_view text, std::chrono::milliseconds patience) const {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    if (Log().find(text) != std::string::npos) {
      return true;
    }
    if (WaitForExit(std::chrono::milliseconds(20))) {
      return Log().find(text) != std::string::npos;
    }
  }
  return false;
}

int ChildProcess::Stop() {
  if (pid_ < 0) {
    return -1;
  }
  ::kill(pid_, SIGTERM);
  if (!WaitForExit(std::chrono::seconds(5))) {
    ::kill(pid_, SIGKILL);
  }
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace countersign
