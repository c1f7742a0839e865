#include "identity/server/document_checks.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "identity/server/agent_directory.h"

namespace countersign::server {
namespace {

using authz::Diagnostic;
using Names = std::set<std::string, std::less<>>;

constexpr std::string_view kServerPath = "/server";
constexpr std::string_view kAgentPath = "/agent";

class Checker {
 public:
  Checker(const RegistryState& state, const authz::LoadResult& loaded,
          const DocumentCheckOptions& options)
      : options_(options) {
    for (const auto& [name, registration] : state.registrations) {
      workload_ids_.insert(registration->value.id);
    }
    for (const authz::Registration& registration : loaded.registrations) {
      workload_ids_.insert(registration.id);
    }
    for (const auto& [name, service] : state.services) {
      services_.insert(name);
    }
    for (const authz::Service& service : loaded.services) {
      services_.insert(service.name);
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
            " is longer than a sixth of the authority's life, ",
            FormatDuration(options_.longest_svid_ttl));
    }
    for (const std::string& node : registration.nodes) {
      auto node_id = identity::SpiffeId::Parse(node);
      if (!node_id.ok() || !AgentNameOf(options_.trust_domain, *node_id).ok()) {
        Error(registration.where, what, "node ", Quoted(node), " is not an agent's ID, spiffe://",
              options_.trust_domain.name(), "/agent/NAME");
      }
    }
  }

  void Check(const authz::Service& service) {
    if (!workload_ids_.contains(service.workload_id)) {
      Warn(service.where, "service ", service.name, ": no registration gives out the ID ",
           Quoted(service.workload_id), ", so nobody can serve it yet");
    }
  }

  void Check(const authz::Route& route) {
    WarnUnknownService(route.where, route.name, route.service);
    for (const authz::RouteRule& rule : route.rules) {
      for (const authz::RouteSplit& split : rule.split) {
        WarnUnknownService(rule.where, route.name, split.service);
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
  void WarnUnknownService(const authz::SourcePosition& where, const std::string& route,
                          const std::string& service) {
    if (!services_.contains(service)) {
      Warn(where, "route ", route, ": there is no service ", Quoted(service), " yet");
    }
  }

  const DocumentCheckOptions& options_;
  Names workload_ids_;
  Names services_;
  std::vector<Diagnostic> found_;
};

}  // namespace

std::vector<Diagnostic> CheckDocuments(const RegistryState& state, const authz::LoadResult& loaded,
                                       const DocumentCheckOptions& options) {
  Checker checker(state, loaded, options);
  for (const authz::Registration& registration : loaded.registrations) {
    checker.Check(registration);
  }
  for (const authz::Service& service : loaded.services) {
    checker.Check(service);
  }
  for (const authz::Route& route : loaded.routes) {
    checker.Check(route);
  }
  return checker.Take();
}

}  // namespace countersign::server
