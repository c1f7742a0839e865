// From the policy files of other meshes to Countersign's: the same requests admitted, written as an
// author would write them. Whatever cannot be carried over exactly is refused by name, at its place
// in the source; nothing is dropped in silence. docs/migrating.md tells it from the outside.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "authz/kinds/loader.h"

namespace countersign::authz::import {

// ImportLimits bounds one import. Over a limit is an error that names it.
struct ImportLimits {
  // Two lists of callers that both must hold become one of at most this many; more is generated.
  static constexpr size_t kJoinedValuesMax = 4096;
  // Rules that one source rule may become, when its entries multiply beyond what one rule may hold.
  static constexpr size_t kRulesPerRuleMax = 64;
  // Documents with a labelled pod template, and policies; each is matched against each of the other
  // kind.
  static constexpr size_t kWorkloadsMax = 4096;
  static constexpr size_t kPoliciesMax = 4096;
};

struct ImportOptions {
  std::string trust_domain = "cluster.local";  // The mesh's own; "cluster.local" means it too.
  std::vector<std::string> trust_domain_aliases;
  std::string root_namespace = "istio-system";  // Its policies speak of every namespace.
  std::string default_namespace;                // Of documents that name none; empty: an error.
  std::string owner;                            // SPIFFE ID; empty: one of the namespace.
  // Hosts are judged without their port here. Without this, a host whose port matters to the
  // source is refused wherever leaving the port out would let more in.
  bool hosts_with_any_port = false;
  // A negated predicate over the caller admits callers without identity, as it does there. Without
  // this it never does; denies always hold for them.
  bool anonymous_as_istio = false;
};

// Imported is one YAML text that `policy check` accepts, or what is wrong with the source.
struct Imported {
  std::string yaml;  // Empty unless ok.
  size_t source_policies = 0;
  std::vector<Diagnostic> diagnostics;  // Errors and warnings, in the order of the source.
  bool ok() const;
};

// ImportIstio reads AuthorizationPolicies, and the workloads whose labels their selectors mean
// (Deployments and the like); PeerAuthentication is checked, further kinds are passed over with a
// warning.
Imported ImportIstio(std::span<const SourceFile> files, const ImportOptions& options);

}  // namespace countersign::authz::import
