#include "cli/dev/supervisor.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"

namespace countersign::cli::dev {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

StatusOr<Supervisor> Supervisor::Create(std::string state_file, Limits limits) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
    return ErrnoError(errno, "sigprocmask");
  }
  Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) {
    return ErrnoError(errno, "signalfd");
  }
  return Supervisor(std::move(state_file), limits, std::move(signals));
}

Supervisor::~Supervisor() { StopAll(); }

namespace {

// Takes the status of a child that has ended, and ends what it left running in its process group
// (an nginx worker outlives its master's SIGKILL). The child stays a zombie until the group is
// gone, so that its id cannot be somebody else's yet. False: it has not ended.
bool ReapGroup(pid_t pid, int& status) {
  siginfo_t info = {};
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid != pid) {
    return false;
  }
  ::kill(-pid, SIGKILL);
  return ::waitpid(pid, &status, 0) == pid;
}

}  // namespace

Status Supervisor::Add(ProcessSpec spec) {
  StatusOr<pid_t> pid = Start(spec);
  if (!pid.ok()) {
    return Annotate(pid.status(), spec.name);
  }
  children_.push_back({.spec = std::move(spec),
                       .pid = *pid,
                       .restarts = 0,
                       .started = steady_clock::now(),
                       .next_start = {},
                       .back_off = limits_.restart_first});
  WriteState();
  return absl::OkStatus();
}

Status Supervisor::WaitUntil(const std::function<bool()>& done, milliseconds time_out) {
  steady_clock::time_point deadline = steady_clock::now() + time_out;
  while (!done()) {
    if (steady_clock::now() >= deadline) {
      return Error(StatusCode::kDeadlineExceeded, "not ready after ",
                   std::chrono::duration_cast<std::chrono::seconds>(time_out).count(), " s");
    }
    if (!Turn(milliseconds(50))) {
      return Error(StatusCode::kCancelled, "stopped by a signal");
    }
  }
  return absl::OkStatus();
}

void Supervisor::Run() {
  while (Turn(milliseconds(1000))) {
  }
}

bool Supervisor::Turn(milliseconds wait) {
  StartDue();
  for (const Child& child : children_) {
    if (child.pid < 0) {
      auto until = std::chrono::ceil<milliseconds>(child.next_start - steady_clock::now());
      wait = std::clamp(until, milliseconds(0), wait);
    }
  }
  pollfd waiting = {signals_.get(), POLLIN, 0};
  ::poll(&waiting, 1, static_cast<int>(wait.count()));
  bool go_on = true;
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != static_cast<uint32_t>(SIGCHLD)) {
      go_on = false;
    }
  }
  Reap();
  return go_on;
}

void Supervisor::Reap() {
  bool changed = false;
  for (Child& child : children_) {
    int status = 0;
    if (child.pid < 0 || !ReapGroup(child.pid, status)) {
      continue;
    }
    LogWarning("a process ended and will be restarted",
               {{"name", child.spec.name},
                {"pid", child.pid},
                {"exit", WIFEXITED(status) ? Concat("status ", WEXITSTATUS(status))
                                           : Concat("signal ", WTERMSIG(status))},
                {"log", child.spec.log_file}});
    if (steady_clock::now() - child.started > limits_.steady) {
      child.back_off = limits_.restart_first;
    }
    child.pid = -1;
    child.next_start = steady_clock::now() + child.back_off;
    child.back_off = std::min(child.back_off * 2, limits_.restart_max);
    changed = true;
  }
  if (changed) {
    WriteState();
  }
}

void Supervisor::StartDue() {
  for (Child& child : children_) {
    if (child.pid >= 0 || steady_clock::now() < child.next_start) {
      continue;
    }
    StatusOr<pid_t> pid = Start(child.spec);
    child.started = steady_clock::now();
    if (!pid.ok()) {
      LogError("a process cannot be restarted",
               {{"name", child.spec.name}, {"error", pid.status()}});
      child.next_start = child.started + limits_.restart_max;
      continue;
    }
    child.pid = *pid;
    ++child.restarts;
    WriteState();
  }
}

void Supervisor::StopAll() {
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (child->pid >= 0) {
      ::kill(child->pid, SIGTERM);
    }
  }
  steady_clock::time_point deadline = steady_clock::now() + limits_.stop;
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    int status = 0;
    while (child->pid >= 0 && !ReapGroup(child->pid, status)) {
      if (steady_clock::now() >= deadline) {
        ::kill(-child->pid, SIGKILL);
        ::waitpid(child->pid, nullptr, 0);
        break;
      }
      pollfd waiting = {signals_.get(), POLLIN, 0};
      ::poll(&waiting, 1, 20);
      signalfd_siginfo info;
      while (::read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
      }
    }
    child->pid = -1;
  }
  children_.clear();
}

uint32_t Supervisor::Restarts(std::string_view name) const {
  for (const Child& child : children_) {
    if (child.spec.name == name) {
      return child.restarts;
    }
  }
  return 0;
}

void Supervisor::WriteState() const {
  nlohmann::ordered_json state = nlohmann::ordered_json::object();
  for (const Child& child : children_) {
    state[child.spec.name] = {
        {"pid", child.pid}, {"restarts", child.restarts}, {"log", child.spec.log_file}};
  }
  if (Status status = WriteFileAtomically(state_file_, state.dump(2) + "\n", 0644); !status.ok()) {
    LogWarning("cannot write the list of processes", {{"error", status}});
  }
}

}  // namespace countersign::cli::dev
