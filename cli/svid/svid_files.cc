#include "cli/svid/svid_files.h"

#include <signal.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "base/file.h"

namespace countersign::cli::svid {
namespace {

constexpr size_t kPidFileBytesMax = 64;

StatusOr<int> ReadPid(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kPidFileBytesMax));
  int pid = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error != std::errc() || rest.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return InvalidArgument(path, " holds no process number: ", Quoted(text));
  }
  return pid;
}

}  // namespace

Status WriteIdentity(const WorkloadIdentity& identity, const std::string& folder) {
  RETURN_IF_ERROR(
      WriteFileAtomically(folder + "/bundle.pem", identity.bundle->AuthoritiesPem(), 0644));
  RETURN_IF_ERROR(WriteFileAtomically(folder + "/key.pem", identity.svid->KeyPem(), 0600));
  return WriteFileAtomically(folder + "/svid.pem", identity.svid->ChainPem(), 0644);
}

StatusOr<int> ParseSignal(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, int>, 4> kSignals = {
      {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"TERM", SIGTERM}}};
  std::string_view bare = name.starts_with("SIG") ? name.substr(3) : name;
  for (const auto& [known, number] : kSignals) {
    if (bare == known) {
      return number;
    }
  }
  return InvalidArgument("unknown signal ", Quoted(name), " (use HUP, USR1, USR2 or TERM)");
}

Status Tell(const SignalTarget& target) {
  int pid = target.pid;
  if (!target.pid_file.empty()) {
    ASSIGN_OR_RETURN(pid, ReadPid(target.pid_file));
  } else if (pid == 0) {
    return absl::OkStatus();
  }
  // 0, 1 and negative numbers would reach a group, the system's first process or everybody.
  if (pid <= 1) {
    return InvalidArgument(pid, " is no process to signal");
  }
  if (::kill(pid, target.signal_number) != 0) {
    return ErrnoError(errno, Concat("signal process ", pid));
  }
  return absl::OkStatus();
}

}  // namespace countersign::cli::svid
