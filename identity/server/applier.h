// Applier takes an administrator's documents into the registry: everything is checked, every
// finding is told at once, and then all of it is stored in one transaction, or nothing.
//
// Whether the administrator may do this is decided before (admin_service).
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "authz/kinds/loader.h"
#include "base/clock.h"
#include "identity/server/registry.h"
#include "identity/spiffe_id.h"

namespace countersign::server {

enum class ChangeVerb : uint8_t { kUnchanged, kCreated, kConfigured, kDeleted };

// AppliedChange is what an apply did, or would do, to one document or set.
struct AppliedChange {
  ChangeVerb verb = ChangeVerb::kUnchanged;
  std::string kind;
  std::string name;
  std::string old_document;  // Canonical JSON, one document a line; empty if there was none.
  std::string new_document;
  uint64_t version = 0;  // Of a policy set: the new version, or the running one if unchanged.
  std::string digest;
};

struct ApplyReport {
  std::vector<AppliedChange> changes;
  std::vector<authz::Diagnostic> diagnostics;  // With an error, nothing was stored.
  Revision revision;
  bool ok() const;
};

struct DocumentKey {
  std::string kind;
  std::string name;
};

// Applier is safe for any thread. The registry outlives it.
class Applier {
 public:
  struct Options {
    identity::TrustDomain trust_domain;
    std::chrono::nanoseconds longest_svid_ttl;
  };
  // Author says who changes something, for the log and the history.
  struct Author {
    std::string name;
  };
  enum class Mode : uint8_t { kStore, kCompareOnly };

  Applier(Registry& registry, Options options)
      : registry_(registry), options_(std::move(options)) {}

  // Apply fails only on faults of the server; findings in the files are in the report.
  StatusOr<ApplyReport> Apply(std::span<const authz::SourceFile> files, Mode mode,
                              const Author& author, WallTime now);
  // Delete removes all keys or, if one is not there, none.
  StatusOr<Revision> Delete(std::span<const DocumentKey> keys);
  // Rollback applies the content of an older version as a new one; 0 is the one before the running.
  StatusOr<ApplyReport> Rollback(std::string_view set, uint64_t to_version, const Author& author,
                                 WallTime now);

 private:
  struct Plan {
    ApplyReport report;
    RegistryChange change;
  };
  Plan MakePlan(const RegistryState& state, const authz::LoadResult& loaded, const Author& author,
                WallTime now) const;
  // PlanSets runs the tests of all sets as they would be.
  void PlanSets(const RegistryState& state, const authz::LoadResult& loaded, const Author& author,
                WallTime now, Plan& plan) const;
  void PlanSet(const RegistryState& state, const std::shared_ptr<const authz::PolicySet>& set,
               const Author& author, WallTime now, Plan& plan) const;
  Status Store(const RegistryState& state, Plan& plan);
  StatusOr<PolicySetVersion> RollbackTarget(std::string_view set, uint64_t to_version);

  Registry& registry_;
  const Options options_;
};

}  // namespace countersign::server
