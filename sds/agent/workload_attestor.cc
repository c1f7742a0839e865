#include "sds/agent/workload_attestor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <optional>

namespace countersign::agent {

namespace {

// A process in a mount namespace of its own, which any user can make, shows the path of its own
// choice. The file that this program finds there is the one that is meant.
bool IsTheFileAt(const std::string& path, const ExeIdentity& exe) {
  struct stat file = {};
  return ::stat(path.c_str(), &file) == 0 && file.st_dev == exe.device && file.st_ino == exe.inode;
}

}  // namespace

// What was read about one process during one Attest, and why the rest was not.
struct WorkloadAttestor::Facts {
  const std::shared_ptr<const AttestedProcess>& process;
  std::optional<StatusOr<std::string>> demo_workload;
  Status why;
};

std::string DemoWorkload(std::string_view environment) {
  constexpr std::string_view kName = "COUNTERSIGN_DEMO_WORKLOAD=";
  while (!environment.empty()) {
    size_t end = environment.find('\0');
    std::string_view variable = environment.substr(0, end);
    if (variable.starts_with(kName)) {
      return std::string(variable.substr(kName.size()));
    }
    environment = end == std::string_view::npos ? "" : environment.substr(end + 1);
  }
  return "";
}

Attestation WorkloadAttestor::Attest(
    const std::shared_ptr<const AttestedProcess>& process,
    std::span<const std::shared_ptr<const authz::Registration>> registrations) const {
  Attestation result;
  Facts facts{process, std::nullopt, absl::OkStatus()};
  bool pending = false;
  for (const auto& registration : registrations) {
    // Cheap facts first: only a caller that all else admits makes us hash its executable.
    Match match = MatchCredentials(*registration, facts);
    if (match == Match::kYes) {
      match = MatchExe(registration->selectors, facts);
    }
    if (match == Match::kYes) {
      result.matched.push_back(registration);
    }
    pending = pending || match == Match::kPending;
    if (match == Match::kUnknown) {
      result.why = facts.why;
    }
  }
  if (!result.matched.empty()) {
    result.outcome = Attestation::Outcome::kMatched;
  } else if (pending) {
    result.outcome = Attestation::Outcome::kPending;
  } else if (!result.why.ok()) {
    result.outcome = Attestation::Outcome::kUnavailable;
  }
  return result;
}

WorkloadAttestor::Match WorkloadAttestor::MatchCredentials(const authz::Registration& registration,
                                                           Facts& facts) const {
  const authz::UnixSelectors& selectors = registration.selectors;
  if (mode_ == SelectorMode::kUnix) {
    bool holds = (!selectors.uid || *selectors.uid == facts.process->uid()) &&
                 (!selectors.gid || *selectors.gid == facts.process->gid());
    return holds ? Match::kYes : Match::kNo;
  }
  // Only this agent's own user may demonstrate.
  if (facts.process->uid() != ::geteuid()) {
    return Match::kNo;
  }
  if (!facts.demo_workload) {
    StatusOr<std::string> environment = facts.process->Environment(limits_.environ_bytes_max);
    facts.demo_workload = environment.ok() ? StatusOr<std::string>(DemoWorkload(*environment))
                                           : StatusOr<std::string>(environment.status());
  }
  if (!facts.demo_workload->ok()) {
    facts.why = facts.demo_workload->status();
    return Match::kUnknown;
  }
  return **facts.demo_workload == registration.name ? Match::kYes : Match::kNo;
}

WorkloadAttestor::Match WorkloadAttestor::MatchExe(const authz::UnixSelectors& selectors,
                                                   Facts& facts) const {
  if (selectors.path.empty() && selectors.sha256.empty()) {
    return Match::kYes;
  }
  if (!facts.process->exe_status().ok()) {
    facts.why = facts.process->exe_status();
    return Match::kUnknown;
  }
  // The kernel marks a file that was removed or replaced by this suffix; a file may also be named
  // so. Neither is a path that anyone can have meant.
  if (!selectors.path.empty() && (facts.process->exe_path() != selectors.path ||
                                  facts.process->exe_path().ends_with(" (deleted)") ||
                                  !IsTheFileAt(selectors.path, facts.process->exe_identity()))) {
    return Match::kNo;
  }
  if (!selectors.sha256.empty()) {
    StatusOr<std::string> digest = digests_.Find(facts.process);
    if (!digest.ok()) {
      facts.why = digest.status();
      return Match::kUnknown;
    }
    if (digest->empty()) {
      return Match::kPending;
    }
    if (*digest != selectors.sha256) {
      return Match::kNo;
    }
  }
  // The program is the right one; whether it alone reads what we write is the last question, and
  // the dearest. A copy may be a passing one, between fork and exec.
  if (Status status = facts.process->CheckHolder(); !status.ok()) {
    facts.why = status;
    return Match::kUnknown;
  }
  return Match::kYes;
}

}  // namespace countersign::agent
