// Which registrations a pinned process may claim.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "authz/kinds/registration.h"
#include "sds/agent/agent_limits.h"
#include "sds/agent/attested_process.h"
#include "sds/agent/exe_digests.h"

namespace countersign::agent {

enum class SelectorMode {
  kUnix,  // The kernel's word: uid, gid, path, sha256.
  kDemo,  // uid and gid are not asked; the caller names its registration in its environment.
};

// Attestation is the outcome for one process. A selector that could not be read never counts as
// matched; if it alone stood between the caller and a registration, the outcome is kUnavailable
// and not kNoMatch, so that a passing fault is not taken for a refusal.
struct Attestation {
  enum class Outcome {
    kMatched,
    kNoMatch,
    kPending,      // A digest is being computed.
    kUnavailable,  // `why` says which fact could not be read.
  };
  Outcome outcome = Outcome::kNoMatch;
  std::vector<std::shared_ptr<const authz::Registration>> matched;  // In the order given.
  Status why;
};

// WorkloadAttestor matches processes and registrations. Safe for any thread.
class WorkloadAttestor {
 public:
  // `digests` outlives it.
  WorkloadAttestor(SelectorMode mode, const AgentLimits& limits, ExeDigests& digests)
      : mode_(mode), limits_(limits), digests_(digests) {}

  Attestation Attest(
      const std::shared_ptr<const AttestedProcess>& process,
      std::span<const std::shared_ptr<const authz::Registration>> registrations) const;

 private:
  enum class Match { kYes, kNo, kPending, kUnknown };
  struct Facts;
  Match MatchCredentials(const authz::Registration& registration, Facts& facts) const;
  Match MatchExe(const authz::UnixSelectors& selectors, Facts& facts) const;

  const SelectorMode mode_;
  const AgentLimits limits_;
  ExeDigests& digests_;
};

// DemoWorkload finds the value of COUNTERSIGN_DEMO_WORKLOAD in an environment block; empty if it
// is not there.
std::string DemoWorkload(std::string_view environment);

}  // namespace countersign::agent
