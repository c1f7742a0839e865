#include "identity/trust_bundle.h"

#include <algorithm>

#include "base/crypto/hash.h"
#include "identity/bundle_json.h"
#include "identity/certificate.h"
#include "identity/svid_profile.h"

namespace countersign::identity {
namespace {

// RFC 5280 4.1.1.2: the algorithm stands in a certificate twice, alike. Path building checks it
// with the signature, which is never looked at for an authority.
bool NamesOneAlgorithm(X509* certificate) {
  const X509_ALGOR* outer = nullptr;
  X509_get0_signature(nullptr, &outer, certificate);
  return X509_ALGOR_cmp(outer, X509_get0_tbs_sigalg(certificate)) == 0;
}

// An authority may belong to several domains, so its own SPIFFE ID is not held against `domain`.
StatusOr<X509Ptr> DecodeAuthority(std::string_view der) {
  if (der.size() > BundleLimits::kAuthorityBytesMax) {
    return ResourceExhausted("larger than the limit of ", BundleLimits::kAuthorityBytesMax,
                             " bytes");
  }
  X509Ptr certificate = DecodeCertificate(der);
  std::optional<VerifyError> error = VerifyError::kMalformedCertificate;
  if (certificate != nullptr && NamesOneAlgorithm(certificate.get())) {
    error = CheckIssuer(certificate.get(), nullptr);
    error = error.has_value() ? error : CheckKey(certificate.get());
  }
  if (error.has_value()) {
    return InvalidArgument(VerifyErrorName(*error));
  }
  return certificate;
}

}  // namespace

StatusOr<TrustBundle> TrustBundle::FromAuthorities(const TrustDomain& domain,
                                                   std::vector<std::string> authorities_der,
                                                   const Facts& facts) {
  // One authority listed twice says no more than once, and equal bundles have equal bytes.
  std::vector<std::string> unique;
  for (std::string& der : authorities_der) {
    if (std::find(unique.begin(), unique.end(), der) == unique.end()) {
      unique.push_back(std::move(der));
    }
    if (unique.size() > BundleLimits::kAuthoritiesMax) {
      return ResourceExhausted("bundle of ", domain.name(), " has more than the limit of ",
                               BundleLimits::kAuthoritiesMax, " authorities");
    }
  }
  TrustBundle bundle(domain);
  bundle.native_.reset(sk_X509_new_null(), FreeX509Stack);
  for (size_t i = 0; i < unique.size(); ++i) {
    StatusOr<X509Ptr> authority = DecodeAuthority(unique[i]);
    if (!authority.ok()) {
      return Annotate(authority.status(),
                      Concat("bundle of ", domain.name(), ", authority ", i + 1));
    }
    if (bundle.native_ == nullptr || sk_X509_push(bundle.native_.get(), authority->get()) == 0) {
      return OpenSslError("keep authority");
    }
    (void)authority->release();  // The list owns it now.
  }
  bundle.authorities_der_ = std::move(unique);
  bundle.facts_ = facts;
  return bundle;
}

StatusOr<TrustBundle> TrustBundle::ParseJson(const TrustDomain& domain, std::string_view json) {
  StatusOr<BundleDocument> document = ParseBundleJson(json);
  if (!document.ok()) {
    return Annotate(document.status(), Concat("bundle of ", domain.name()));
  }
  return FromAuthorities(domain, std::move(document->authorities_der), document->facts);
}

StatusOr<TrustBundle> TrustBundle::FromConcatenatedDer(const TrustDomain& domain,
                                                       std::string_view der) {
  ASSIGN_OR_RETURN(std::vector<std::string> authorities,
                   SplitDer(der, BundleLimits::kAuthoritiesMax));
  return FromAuthorities(domain, std::move(authorities));
}

StatusOr<TrustBundle> TrustBundle::FromPem(const TrustDomain& domain, std::string_view pem) {
  if (pem.size() > BundleLimits::kJsonBytesMax) {
    return ResourceExhausted("bundle of ", domain.name(), " is larger than the limit of ",
                             BundleLimits::kJsonBytesMax, " bytes");
  }
  ASSIGN_OR_RETURN(std::vector<std::string> authorities,
                   SplitPem(pem, BundleLimits::kAuthoritiesMax));
  return FromAuthorities(domain, std::move(authorities));
}

std::string TrustBundle::ToJson() const {
  return PrintBundleJson(BundleDocument{authorities_der_, facts_});
}

std::string TrustBundle::Sha256Pin() const { return HexLower(Sha256(ToJson())); }

std::string TrustBundle::AuthoritiesPem() const {
  std::string pem;
  for (const std::string& der : authorities_der_) {
    pem += CertificatePem(der);
  }
  return pem;
}

StatusOr<BundleSet> BundleSet::Create(std::vector<Bundle> bundles) {
  if (bundles.size() > BundleLimits::kDomainsMax) {
    return ResourceExhausted("more than the limit of ", BundleLimits::kDomainsMax,
                             " trust domains");
  }
  BundleSet set;
  for (Bundle& bundle : bundles) {
    CHECK(bundle != nullptr);
    std::string name = bundle->trust_domain().name();
    if (!set.bundles_.emplace(name, std::move(bundle)).second) {
      return AlreadyExists("two bundles for the trust domain ", name);
    }
  }
  return set;
}

BundleSet::Bundle BundleSet::Find(std::string_view trust_domain_name) const {
  auto found = bundles_.find(trust_domain_name);
  return found != bundles_.end() ? found->second : nullptr;
}

}  // namespace countersign::identity
