#include "identity/server/applier.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "authz/check/assertions.h"
#include "authz/check/lint.h"
#include "authz/check/policy_test_runner.h"
#include "identity/server/document_checks.h"

namespace countersign::server {
namespace {

constexpr int kAttemptsMax = 5;  // Against other administrators at the same moment.

std::string Joined(const std::vector<std::string>& documents) {
  std::string out;
  for (const std::string& document : documents) {
    out += document + "\n";
  }
  return out;
}

// Plans one registration, service or route against what is there.
template <class T>
void PlanDocument(std::string_view kind, const ByName<Typed<T>>& present, const T& wanted,
                  ApplyReport& report, RegistryChange& change) {
  AppliedChange applied;
  applied.kind = kind;
  applied.name = wanted.name;
  applied.new_document = wanted.canonical_json;
  auto found = present.find(wanted.name);
  if (found != present.end()) {
    applied.old_document = found->second->document;
  }
  if (applied.old_document != applied.new_document) {
    applied.verb = found == present.end() ? ChangeVerb::kCreated : ChangeVerb::kConfigured;
    change.documents.push_back({applied.kind, applied.name, applied.new_document});
  }
  report.changes.push_back(std::move(applied));
}

bool IsChanged(const RegistryChange& change, std::string_view set) {
  return std::any_of(change.sets.begin(), change.sets.end(),
                     [&](const SetChange& one) { return one.version.set == set; });
}

// The sets that would run: those of the registry, with the given ones in their place.
std::vector<std::shared_ptr<const authz::PolicySet>> SetsAfter(
    const RegistryState& state, const std::vector<std::shared_ptr<const authz::PolicySet>>& given) {
  std::map<std::string, std::shared_ptr<const authz::PolicySet>, std::less<>> after;
  for (const auto& [name, running] : state.sets) {
    after[name] = running->policy;
  }
  for (const auto& set : given) {
    after[set->name] = set;
  }
  std::vector<std::shared_ptr<const authz::PolicySet>> sets;
  for (auto& [name, set] : after) {
    sets.push_back(std::move(set));
  }
  return sets;
}

// Runs every test over all sets together. A failed test of a changed set refuses the change; one of
// an untouched set is told, but must not let its owner stop everybody else.
void RunTests(const std::vector<std::shared_ptr<const authz::PolicySet>>& sets, WallTime now,
              const RegistryChange& change, std::vector<authz::Diagnostic>& diagnostics) {
  authz::TestReport report = authz::RunPolicyTests(sets, now);
  if (report.cases.empty()) {
    std::move(report.diagnostics.begin(), report.diagnostics.end(),
              std::back_inserter(diagnostics));
    return;
  }
  auto finding = report.diagnostics.begin();
  for (const authz::TestCaseResult& result : report.cases) {
    if (result.passed || finding == report.diagnostics.end()) {
      continue;
    }
    authz::Diagnostic one = std::move(*finding++);
    if (!IsChanged(change, result.set)) {
      one.severity = authz::Diagnostic::Severity::kWarning;
      one.message = Concat("running set ", result.set, ": ", one.message);
    }
    diagnostics.push_back(std::move(one));
  }
}

bool Contains(const RegistryState& state, const DocumentKey& key) {
  return (key.kind == kRegistrationKind && state.registrations.contains(key.name)) ||
         (key.kind == kServiceKind && state.services.contains(key.name)) ||
         (key.kind == kRouteKind && state.routes.contains(key.name)) ||
         (key.kind == kPolicySetKind && state.sets.contains(key.name));
}

}  // namespace

bool ApplyReport::ok() const {
  return std::none_of(diagnostics.begin(), diagnostics.end(), [](const authz::Diagnostic& one) {
    return one.severity == authz::Diagnostic::Severity::kError;
  });
}

void Applier::PlanSet(const RegistryState& state,
                      const std::shared_ptr<const authz::PolicySet>& set, const Author& author,
                      WallTime now, Plan& plan) const {
  AppliedChange applied;
  applied.kind = kPolicySetKind;
  applied.name = set->name;
  applied.new_document = Joined(set->canonical_documents);
  applied.digest = set->digest;
  auto found = state.sets.find(set->name);
  if (found != state.sets.end()) {
    applied.old_document = Joined(found->second->version.documents);
    applied.version = found->second->version.version;
  }
  // The digest leaves tests out of what a set means; an edited test is a change to store too.
  if (applied.old_document != applied.new_document) {
    applied.verb = found == state.sets.end() ? ChangeVerb::kCreated : ChangeVerb::kConfigured;
    SetChange change;
    change.version.set = set->name;
    change.version.digest = set->digest;
    change.version.documents = set->canonical_documents;
    change.version.author = author.name;
    change.version.applied_unix_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    plan.change.sets.push_back(std::move(change));
  }
  plan.report.changes.push_back(std::move(applied));
}

Applier::Plan Applier::MakePlan(const RegistryState& state, const authz::LoadResult& loaded,
                                const Author& author, WallTime now) const {
  Plan plan;
  plan.report.diagnostics = loaded.diagnostics;
  std::vector<authz::Diagnostic> more =
      CheckDocuments(state, loaded, {options_.trust_domain, options_.longest_svid_ttl});
  std::move(more.begin(), more.end(), std::back_inserter(plan.report.diagnostics));
  for (const authz::Registration& registration : loaded.registrations) {
    PlanDocument(kRegistrationKind, state.registrations, registration, plan.report, plan.change);
  }
  for (const authz::Service& service : loaded.services) {
    PlanDocument(kServiceKind, state.services, service, plan.report, plan.change);
  }
  for (const authz::Route& route : loaded.routes) {
    PlanDocument(kRouteKind, state.routes, route, plan.report, plan.change);
  }
  PlanSets(state, loaded, author, now, plan);
  return plan;
}

void Applier::PlanSets(const RegistryState& state, const authz::LoadResult& loaded,
                       const Author& author, WallTime now, Plan& plan) const {
  for (const std::shared_ptr<const authz::PolicySet>& set : loaded.sets) {
    PlanSet(state, set, author, now, plan);
  }
  if (plan.change.sets.empty()) {
    return;
  }
  std::vector<std::shared_ptr<const authz::PolicySet>> all = SetsAfter(state, loaded.sets);
  RunTests(all, now, plan.change, plan.report.diagnostics);
  std::vector<std::shared_ptr<const authz::PolicySet>> changed = loaded.sets;
  std::erase_if(changed, [&](const auto& set) { return !IsChanged(plan.change, set->name); });
  std::vector<authz::Service> services = loaded.services;
  for (const auto& [name, service] : state.services) {
    services.push_back(service->value);
  }
  std::vector<authz::Diagnostic> lint = authz::LintPolicies(changed, services, now);
  std::move(lint.begin(), lint.end(), std::back_inserter(plan.report.diagnostics));
  // A change of one set can break what another one asserts.
  std::vector<authz::Diagnostic> unproved = authz::CheckAssertions(all, services, now).diagnostics;
  std::move(unproved.begin(), unproved.end(), std::back_inserter(plan.report.diagnostics));
}

Status Applier::Store(const RegistryState& state, Plan& plan) {
  plan.report.revision = state.revision;
  if (plan.change.documents.empty() && plan.change.sets.empty()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Registry::Committed committed, registry_.Commit(state, plan.change));
  plan.report.revision = committed.revision;
  for (const PolicySetVersion& version : committed.versions) {
    for (AppliedChange& change : plan.report.changes) {
      if (change.kind == kPolicySetKind && change.name == version.set) {
        change.version = version.version;
      }
    }
  }
  return absl::OkStatus();
}

StatusOr<ApplyReport> Applier::Apply(std::span<const authz::SourceFile> files, Mode mode,
                                     const Author& author, WallTime now) {
  authz::LoadResult loaded = authz::Load(files);
  for (int attempt = 1;; ++attempt) {
    Registry::State state = registry_.state();
    Plan plan = MakePlan(*state, loaded, author, now);
    plan.report.revision = state->revision;
    if (!loaded.ok() || !plan.report.ok() || mode == Mode::kCompareOnly) {
      return std::move(plan.report);
    }
    Status status = Store(*state, plan);
    if (status.ok()) {
      return std::move(plan.report);
    }
    if (status.code() != StatusCode::kAborted || attempt == kAttemptsMax) {
      return status;
    }
  }
}

StatusOr<Revision> Applier::Delete(std::span<const DocumentKey> keys) {
  for (int attempt = 1;; ++attempt) {
    Registry::State state = registry_.state();
    RegistryChange change;
    for (const DocumentKey& key : keys) {
      if (!Contains(*state, key)) {
        return NotFound("there is no ", key.kind, " ", Quoted(key.name), "; nothing was deleted");
      }
      if (key.kind == kPolicySetKind) {
        SetChange removal;
        removal.version.set = key.name;
        removal.remove = true;
        change.sets.push_back(std::move(removal));
      } else {
        change.documents.push_back({key.kind, key.name, {}});
      }
    }
    StatusOr<Registry::Committed> committed = registry_.Commit(*state, change);
    if (committed.ok()) {
      return committed->revision;
    }
    if (committed.status().code() != StatusCode::kAborted || attempt == kAttemptsMax) {
      return committed.status();
    }
  }
}

StatusOr<PolicySetVersion> Applier::RollbackTarget(std::string_view set, uint64_t to_version) {
  ASSIGN_OR_RETURN(std::vector<PolicySetVersion> history, registry_.History(set));
  if (history.empty()) {
    return NotFound("there is no policy set ", Quoted(set));
  }
  Registry::State state = registry_.state();
  auto running = state->sets.find(set);
  if (to_version == 0) {
    // Of a removed set the newest version is the one before.
    auto before = std::find_if(history.begin(), history.end(), [&](const PolicySetVersion& one) {
      return running == state->sets.end() || one.version < running->second->version.version;
    });
    if (before == history.end()) {
      return FailedPrecondition("policy set ", Quoted(set), " has no version before the running ",
                                "one");
    }
    to_version = before->version;
  }
  return registry_.Version(set, to_version);
}

StatusOr<ApplyReport> Applier::Rollback(std::string_view set, uint64_t to_version,
                                        const Author& author, WallTime now) {
  ASSIGN_OR_RETURN(PolicySetVersion target, RollbackTarget(set, to_version));
  ASSIGN_OR_RETURN(std::shared_ptr<const authz::PolicySet> policy,
                   authz::LoadPolicySet(target.documents));
  for (int attempt = 1;; ++attempt) {
    Registry::State state = registry_.state();
    Plan plan;
    authz::LoadResult loaded;
    loaded.sets = {policy};
    PlanSets(*state, loaded, author, now, plan);
    for (SetChange& change : plan.change.sets) {
      change.version.rollback_of = target.version;
    }
    if (!plan.report.ok()) {
      return std::move(plan.report);
    }
    Status status = Store(*state, plan);
    if (status.ok()) {
      return std::move(plan.report);
    }
    if (status.code() != StatusCode::kAborted || attempt == kAttemptsMax) {
      return status;
    }
  }
}

}  // namespace countersign::server
