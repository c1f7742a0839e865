#include "sds/agent/trust_of.h"

#include <map>
#include <mutex>
#include <string>

#include "base/log.h"
#include "identity/certificate_authority.h"

namespace countersign::agent {
namespace {

using Bundle = std::shared_ptr<const identity::TrustBundle>;

// Ended long before anybody could ask.
StatusOr<identity::TrustBundle> MakeStandIn(const identity::TrustDomain& domain) {
  WallTime long_ago = WallTime() + std::chrono::hours(24);
  ASSIGN_OR_RETURN(identity::CertificateAuthority authority,
                   identity::CertificateAuthority::CreateSelfSigned(
                       domain, identity::AuthorityLimits::kTtlMin, long_ago));
  return identity::TrustBundle::FromAuthorities(domain, authority.authorities_der());
}

Bundle StandIn(std::string_view domain_name) {
  static std::mutex mutex;
  static std::map<std::string, Bundle, std::less<>> made;  // Names come from the server alone.
  std::lock_guard lock(mutex);
  if (auto found = made.find(domain_name); found != made.end()) {
    return found->second;
  }
  StatusOr<identity::TrustDomain> domain = identity::TrustDomain::Parse(domain_name);
  StatusOr<identity::TrustBundle> bundle =
      domain.ok() ? MakeStandIn(*domain) : StatusOr<identity::TrustBundle>(domain.status());
  if (!bundle.ok()) {
    LogError("trust cannot be withdrawn", {{"domain", domain_name}, {"why", bundle.status()}});
    return nullptr;
  }
  LogWarning("a trust domain has no authority; callers are given one that vouches for nobody",
             {{"domain", domain_name}});
  Bundle shared = std::make_shared<const identity::TrustBundle>(*std::move(bundle));
  made.emplace(domain_name, shared);
  return shared;
}

}  // namespace

Bundle TrustOf(const NodeState& state, std::string_view domain_name) {
  Bundle bundle = state.bundles()->Find(domain_name);
  return bundle && !bundle->authorities_der().empty() ? bundle : StandIn(domain_name);
}

}  // namespace countersign::agent
