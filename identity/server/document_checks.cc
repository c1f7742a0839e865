#include "identity/server/document_checks.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "authz/check/references.h"
#include "base/clock.h"
#include "identity/server/agent_directory.h"

namespace countersign::server {
namespace {

using authz::Diagnostic;

constexpr std::string_view kServerPath = "/server";
constexpr std::string_view kAgentPath = "/agent";

// Whether one process can match both on one node: then it is given both identities.
bool Overlap(const authz::Registration& one, const authz::Registration& other) {
  const authz::UnixSelectors& a = one.selectors;
  const authz::UnixSelectors& b = other.selectors;
  const bool apart = (a.uid && b.uid && a.uid != b.uid) || (a.gid && b.gid && a.gid != b.gid) ||
                     (!a.path.empty() && !b.path.empty() && a.path != b.path) ||
                     (!a.sha256.empty() && !b.sha256.empty() && a.sha256 != b.sha256);
  return !apart && std::ranges::any_of(one.nodes, [&](const std::string& node) {
    return std::ranges::find(other.nodes, node) != other.nodes.end();
  });
}

class Checker {
 public:
  Checker(const RegistryState& state, const authz::LoadResult& loaded,
          const DocumentCheckOptions& options)
      : options_(options) {
    for (const auto& [name, registration] : state.registrations) {
      registrations_[name] = &registration->value;
    }
    for (const authz::Registration& registration : loaded.registrations) {
      registrations_[registration.name] = &registration;
    }
  }

  void Check(const authz::Registration& registration) {
    std::string what = Concat("registration ", registration.name, ": ");
    auto id = identity::SpiffeId::Parse(registration.id);
    if (!id.ok() || id->trust_domain_name() != options_.trust_domain.name()) {
      Error(registration.where, what, "id ", Quoted(registration.id),
            " is not in this server's trust domain ", options_.trust_domain.name());
    } else if (id->path().empty()) {
      Error(registration.where, what, "id ", Quoted(registration.id),
            " is the trust domain itself; a workload's ID has a path");
    } else if (IsReserved(id->path())) {
      Error(registration.where, what, "id ", Quoted(registration.id),
            " is reserved: /server is the server's own, below /agent are the agents'");
    }
    if (registration.svid_ttl > options_.longest_svid_ttl) {
      Error(registration.where, what, "svid.ttl ", FormatDuration(registration.svid_ttl),
            " is longer than an SVID may live here, ", FormatDuration(options_.longest_svid_ttl),
            " (a sixth of the authority's life, and 7 days at most)");
    }
    for (const std::string& node : registration.nodes) {
      auto node_id = identity::SpiffeId::Parse(node);
      if (!node_id.ok() || !AgentNameOf(options_.trust_domain, *node_id).ok()) {
        Error(registration.where, what, "node ", Quoted(node), " is not an agent's ID, spiffe://",
              options_.trust_domain.name(), "/agent/NAME");
      }
    }
    for (const auto& [name, other] : registrations_) {
      if (other->id != registration.id && Overlap(registration, *other)) {
        Warn(registration.where, what, "a process can match it and registration ", name,
             ", and is then given both identities, ", Quoted(registration.id), " and ",
             Quoted(other->id), ": say by uid, path or sha256 which process is which");
      }
    }
  }

  std::vector<Diagnostic> Take() { return std::move(found_); }

 private:
  static bool IsReserved(std::string_view path) {
    return path == kServerPath || path.starts_with(Concat(kServerPath, "/")) ||
           path == kAgentPath || path.starts_with(Concat(kAgentPath, "/"));
  }
  template <class... Parts>
  void Error(const authz::SourcePosition& where, const Parts&... parts) {
    found_.push_back({Diagnostic::Severity::kError, where, Concat(parts...)});
  }
  template <class... Parts>
  void Warn(const authz::SourcePosition& where, const Parts&... parts) {
    found_.push_back({Diagnostic::Severity::kWarning, where, Concat(parts...)});
  }

  const DocumentCheckOptions& options_;
  std::map<std::string, const authz::Registration*, std::less<>> registrations_;  // By name.
  std::vector<Diagnostic> found_;
};

}  // namespace

std::vector<Diagnostic> CheckDocuments(const RegistryState& state, const authz::LoadResult& loaded,
                                       const DocumentCheckOptions& options) {
  Checker checker(state, loaded, options);
  for (const authz::Registration& registration : loaded.registrations) {
    checker.Check(registration);
  }
  std::vector<Diagnostic> found = checker.Take();
  authz::KnownNames known;
  known.extent = authz::KnownNames::Extent::kEverything;
  for (const auto& [name, registration] : state.registrations) {
    known.workload_ids.insert(registration->value.id);
  }
  for (const auto& [name, service] : state.services) {
    known.services.insert(name);
  }
  known.Add(loaded);
  std::ranges::move(authz::CheckReferences(loaded, known), std::back_inserter(found));
  return found;
}

}  // namespace countersign::server
