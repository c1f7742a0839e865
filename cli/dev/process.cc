#include "cli/dev/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/fd.h"

namespace countersign::cli::dev {
namespace {

constexpr size_t kOutputBytesMax = 1 << 20;  // A verb prints a table, not a dump.

struct Pipe {
  Fd read;
  Fd write;
};

StatusOr<Pipe> MakePipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return ErrnoError(errno, "pipe");
  }
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// Strings for exec, made before fork: the child may only make system calls.
class ExecStrings {
 public:
  explicit ExecStrings(std::vector<std::string> texts) : texts_(std::move(texts)) {
    for (std::string& text : texts_) {
      pointers_.push_back(text.data());
    }
    pointers_.push_back(nullptr);
  }
  char** get() { return pointers_.data(); }

 private:
  std::vector<std::string> texts_;
  std::vector<char*> pointers_;
};

std::vector<std::string> EnvironmentOf(const std::map<std::string, std::string>& added) {
  std::vector<std::string> out = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/",
      "LANG=C.UTF-8"};
  for (const auto& [name, value] : added) {
    out.push_back(Concat(name, "=", value));
  }
  return out;
}

struct ChildPlan {
  char** argv = nullptr;
  char** environment = nullptr;
  const Account* account = nullptr;
  int out = -1;
  int err = -1;
  int report = -1;
  pid_t parent = 0;
};

// Becomes the child's program or reports errno. Only async-signal-safe calls from here on.
[[noreturn]] void BecomeChild(const ChildPlan& plan) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  int in = ::open("/dev/null", O_RDONLY);
  bool good = ::setpgid(0, 0) == 0 && in >= 0 && ::dup2(in, 0) == 0 && ::dup2(plan.out, 1) == 1 &&
              ::dup2(plan.err, 2) == 2;
  if (good && plan.account != nullptr) {
    good = ::setgroups(0, nullptr) == 0 && ::setgid(plan.account->gid) == 0 &&
           ::setuid(plan.account->uid) == 0;
  }
  // After the change of user, which clears it.
  good = good && ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == plan.parent;
  if (good) {
    ::execvpe(plan.argv[0], plan.argv, plan.environment);
  }
  int error_number = errno;
  ssize_t ignored = ::write(plan.report, &error_number, sizeof(error_number));
  (void)ignored;
  ::_exit(127);
}

StatusOr<pid_t> Fork(const std::vector<std::string>& command,
                     const std::map<std::string, std::string>& environment, const Account* account,
                     int out, int err) {
  ASSIGN_OR_RETURN(Pipe report, MakePipe());
  ExecStrings argv(command);
  ExecStrings variables(EnvironmentOf(environment));
  ChildPlan plan = {.argv = argv.get(),
                    .environment = variables.get(),
                    .account = account,
                    .out = out,
                    .err = err,
                    .report = report.write.get(),
                    .parent = ::getpid()};
  pid_t pid = ::fork();
  if (pid < 0) {
    return ErrnoError(errno, "fork");
  }
  if (pid == 0) {
    BecomeChild(plan);
  }
  report.write.Reset();
  int error_number = 0;
  if (::read(report.read.get(), &error_number, sizeof(error_number)) == sizeof(error_number)) {
    ::waitpid(pid, nullptr, 0);
    return ErrnoError(error_number, Concat("cannot start ", command[0]));
  }
  return pid;
}

// Reads both ends until both close.
void Drain(Pipe& out, Pipe& err, Outcome& outcome) {
  std::array<pollfd, 2> waits = {{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
  std::array<std::string*, 2> texts = {&outcome.out, &outcome.err};
  std::array<char, 16384> block;
  while (waits[0].fd >= 0 || waits[1].fd >= 0) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
      return;
    }
    for (size_t i = 0; i < waits.size(); ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) {
        continue;
      }
      ssize_t got = ::read(waits[i].fd, block.data(), block.size());
      if (got <= 0) {
        waits[i].fd = -1;
      } else if (texts[i]->size() < kOutputBytesMax) {
        texts[i]->append(block.data(), static_cast<size_t>(got));
      }
    }
  }
}

}  // namespace

StatusOr<pid_t> Start(const ProcessSpec& spec) {
  Fd log(::open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (!log.valid()) {
    return ErrnoError(errno, Concat("open ", spec.log_file));
  }
  return Fork(spec.command, spec.environment, spec.account ? &*spec.account : nullptr, log.get(),
              log.get());
}

StatusOr<Outcome> Run(const std::vector<std::string>& command,
                      const std::map<std::string, std::string>& environment) {
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  ASSIGN_OR_RETURN(pid_t pid,
                   Fork(command, environment, nullptr, out.write.get(), err.write.get()));
  out.write.Reset();
  err.write.Reset();
  Outcome outcome;
  Drain(out, err, outcome);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) {
      return ErrnoError(errno, "waitpid");
    }
  }
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

}  // namespace countersign::cli::dev
