#include "sds/agent/secrets.h"

#include <map>
#include <memory>

#include "sds/agent/trust_of.h"

namespace countersign::agent {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using Bundle = std::shared_ptr<const identity::TrustBundle>;

constexpr std::string_view kDefaultName = "default";
constexpr std::string_view kOwnDomainName = "ROOTCA";
constexpr std::string_view kAllDomainsName = "ALL";
constexpr std::string_view kSpiffeValidator = "envoy.tls.cert_validator.spiffe";

// Of several identities "default" is a proxy's before another: only as that may it be configured.
std::shared_ptr<const identity::X509Svid> FindSvid(std::string_view name, const AgentView& view,
                                                   const Attestation& attestation) {
  std::shared_ptr<const identity::X509Svid> first;
  for (const auto& registration : attestation.matched) {
    auto svid = view.svids.find(registration->name);
    if (svid == view.svids.end() || (name != kDefaultName && name != registration->id)) {
      continue;
    }
    if (registration->proxy.has_value()) {
      return svid->second;
    }
    first = first == nullptr ? svid->second : first;
  }
  return first;
}

// A caller trusts the domains of its own identities, and is told of no others.
std::map<std::string, Bundle> TrustedDomains(const AgentView& view,
                                             const Attestation& attestation) {
  std::map<std::string, Bundle> domains;
  for (const auto& registration : attestation.matched) {
    auto id = identity::SpiffeId::Parse(registration->id);
    Bundle bundle = id.ok() ? TrustOf(*view.state, id->trust_domain_name()) : nullptr;
    if (bundle) {
      domains[bundle->trust_domain().name()] = std::move(bundle);
    }
  }
  return domains;
}

EnvoySecret CertificateSecret(const identity::X509Svid& svid) {
  EnvoySecret secret;
  tls::TlsCertificate& certificate = *secret.mutable_tls_certificate();
  certificate.mutable_certificate_chain()->set_inline_bytes(svid.ChainPem());
  certificate.mutable_private_key()->set_inline_bytes(svid.KeyPem());
  return secret;
}

EnvoySecret DomainSecret(const identity::TrustBundle& bundle) {
  EnvoySecret secret;
  secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(
      bundle.AuthoritiesPem());
  return secret;
}

EnvoySecret AllDomainsSecret(const std::map<std::string, Bundle>& domains) {
  tls::SPIFFECertValidatorConfig config;
  for (const auto& [name, bundle] : domains) {
    auto& domain = *config.add_trust_domains();
    domain.set_name(name);
    domain.mutable_trust_bundle()->set_inline_bytes(bundle->AuthoritiesPem());
  }
  EnvoySecret secret;
  auto& validator = *secret.mutable_validation_context()->mutable_custom_validator_config();
  validator.set_name(std::string(kSpiffeValidator));
  validator.mutable_typed_config()->PackFrom(config);
  return secret;
}

}  // namespace

std::optional<EnvoySecret> BuildSecret(std::string_view name, const AgentView& view,
                                       const Attestation& attestation) {
  std::optional<EnvoySecret> secret;
  std::map<std::string, Bundle> domains = TrustedDomains(view, attestation);
  if (auto svid = FindSvid(name, view, attestation)) {
    secret = CertificateSecret(*svid);
  } else if (name == kOwnDomainName && !attestation.matched.empty()) {
    auto own = identity::SpiffeId::Parse(attestation.matched.front()->id);
    auto found = own.ok() ? domains.find(std::string(own->trust_domain_name())) : domains.end();
    if (found != domains.end()) {
      secret = DomainSecret(*found->second);
    }
  } else if (name == kAllDomainsName && !domains.empty()) {
    secret = AllDomainsSecret(domains);
  } else {
    for (const auto& [domain, bundle] : domains) {
      if (name == bundle->trust_domain().IdString()) {
        secret = DomainSecret(*bundle);
      }
    }
  }
  if (secret) {
    secret->set_name(std::string(name));
  }
  return secret;
}

std::vector<std::string> OwnSecretNames(const AgentView& view, const Attestation& attestation) {
  std::vector<std::string> names;
  for (const auto& registration : attestation.matched) {
    names.push_back(registration->id);
  }
  for (const auto& [domain, bundle] : TrustedDomains(view, attestation)) {
    names.push_back(bundle->trust_domain().IdString());
  }
  return names;
}

}  // namespace countersign::agent
