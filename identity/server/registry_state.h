// RegistryState is one consistent picture of everything that administrators wrote: registrations,
// services, routes, policy sets and bundles, loaded and typed.
//
// Immutable: the registry makes a new one for each change, and whoever holds an old one keeps it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "authz/kinds/registration.h"
#include "authz/kinds/route.h"
#include "authz/kinds/service.h"
#include "authz/model/policy.h"
#include "identity/server/store.h"

namespace countersign::server {

// The kinds of documents, as they stand in files and on the wire.
inline constexpr std::string_view kRegistrationKind = "Registration";
inline constexpr std::string_view kServiceKind = "Service";
inline constexpr std::string_view kRouteKind = "Route";
inline constexpr std::string_view kPolicySetKind = "PolicySet";
inline constexpr std::string_view kPolicySetVersionKind = "PolicySetVersion";
inline constexpr std::string_view kTrustBundleKind = "TrustBundle";
inline constexpr std::string_view kAgentKind = "Agent";
inline constexpr std::string_view kProxyKind = "Proxy";

// Typed is a document with what it means.
template <class T>
struct Typed {
  T value;
  std::string document;  // Canonical JSON.
  Revision revision;     // Of its last change.
};

// PolicySetVersion is one applied version of one set, whole.
struct PolicySetVersion {
  std::string set;
  uint64_t version = 0;
  std::string digest;
  std::vector<std::string> documents;
  std::string author;
  int64_t applied_unix_ms = 0;
  uint64_t rollback_of = 0;  // 0: it is no rollback.
};

struct RunningSet {
  PolicySetVersion version;
  std::shared_ptr<const authz::PolicySet> policy;
  Revision revision;
};

template <class T>
using ByName = std::map<std::string, std::shared_ptr<const T>, std::less<>>;

struct RegistryState {
  Revision revision;  // Of the last change of anything below.
  ByName<Typed<authz::Registration>> registrations;
  ByName<Typed<authz::Service>> services;
  ByName<Typed<authz::Route>> routes;
  ByName<RunningSet> sets;
  ByName<Typed<std::string>> bundles;  // By trust domain; the value repeats the domain's name.
};

}  // namespace countersign::server
