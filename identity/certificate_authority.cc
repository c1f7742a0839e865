#include "identity/certificate_authority.h"

#include <openssl/err.h>

#include <algorithm>

#include "base/crypto/openssl.h"
#include "base/file.h"
#include "identity/certificate.h"
#include "identity/certificate_writer.h"
#include "identity/peer_verifier.h"
#include "identity/svid_profile.h"

namespace countersign::identity {
namespace {

std::string FileIn(const std::string& folder) { return Concat(folder, "/authority.pem"); }

Status CheckTtl(std::chrono::nanoseconds ttl) {
  if (ttl < AuthorityLimits::kTtlMin) {
    return InvalidArgument("a certificate must live for ", AuthorityLimits::kTtlMin.count(),
                           " second at least");
  }
  return absl::OkStatus();
}

// RFC 1123 2.1: letters, digits and hyphens between dots. No wildcard: an SVID is for one workload.
Status CheckDnsName(std::string_view name) {
  bool good = !name.empty() && name.size() <= 253;
  for (std::string_view rest = name; good;) {
    std::string_view label = rest.substr(0, rest.find('.'));
    good = !label.empty() && label.size() <= 63 && !label.starts_with('-') &&
           !label.ends_with('-') && std::all_of(label.begin(), label.end(), [](char c) {
             return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
           });
    if (label.size() == rest.size()) {
      break;
    }
    rest.remove_prefix(label.size() + 1);
  }
  if (!good) {
    return InvalidArgument(Quoted(name), " is not a DNS name in lower case");
  }
  return absl::OkStatus();
}

Status CheckDnsNames(const std::vector<std::string>& names) {
  if (names.size() > AuthorityLimits::kDnsNamesMax) {
    return ResourceExhausted("more than the limit of ", AuthorityLimits::kDnsNamesMax,
                             " DNS names");
  }
  for (const std::string& name : names) {
    RETURN_IF_ERROR(CheckDnsName(name));
  }
  return absl::OkStatus();
}

Status CheckSerialPrefix(std::string_view prefix) {
  auto first = prefix.empty() ? uint8_t{0} : static_cast<uint8_t>(prefix.front());
  if (!prefix.empty() &&
      (prefix.size() != AuthorityLimits::kSerialPrefixBytes || first < 0x10 || first > 0x7f)) {
    return InvalidArgument("a serial's prefix has ", AuthorityLimits::kSerialPrefixBytes,
                           " bytes and begins with 0x10 to 0x7f");
  }
  return absl::OkStatus();
}

Validity LifeFrom(WallTime now, std::chrono::nanoseconds ttl, WallTime not_after_max) {
  // A ttl beyond the end of time is cut like one beyond the issuer's.
  bool is_cut = ttl >= not_after_max - now;
  return {now - AuthorityLimits::kBackdate, is_cut ? not_after_max : now + ttl};
}

// CheckOwnName keeps one trust domain's key from signing for another after a data folder is mixed
// up.
Status CheckOwnName(X509* signer, const TrustDomain& domain) {
  LeafName name = ReadLeafName(signer);
  if (!name.id.has_value() || name.id->str() != domain.IdString()) {
    return FailedPrecondition("the signing certificate is not of the trust domain ", domain.name());
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<CertificateAuthority> CertificateAuthority::Assemble(const TrustDomain& domain,
                                                              PrivateKey key,
                                                              std::vector<std::string> chain_der) {
  CertificateAuthority authority(domain, std::move(key));
  authority.not_before_ = WallTime::min();
  authority.not_after_ = WallTime::max();
  for (size_t i = 0; i < chain_der.size(); ++i) {
    X509Ptr certificate = DecodeCertificate(chain_der[i]);
    if (certificate == nullptr) {
      return InvalidArgument("authority certificate ", i + 1, " is malformed");
    }
    if (i == 0) {
      RETURN_IF_ERROR(CheckOwnName(certificate.get(), domain));
      EVP_PKEY* certified = X509_get0_pubkey(certificate.get());
      if (certified == nullptr || EVP_PKEY_eq(certified, authority.key_.native()) != 1) {
        return MalformedError("the authority's key is not that of its certificate");
      }
      authority.serial_ = SerialHex(certificate.get());
    }
    if (i + 1 == chain_der.size() && X509_self_signed(certificate.get(), 1) != 1) {
      ERR_clear_error();
      return InvalidArgument("the authority's chain does not end with a self-signed root");
    }
    authority.not_before_ = std::max(authority.not_before_, NotBefore(certificate.get()));
    authority.not_after_ = std::min(authority.not_after_, NotAfter(certificate.get()));
  }
  authority.authorities_der_ = {chain_der.back()};
  authority.chain_der_ = std::move(chain_der);
  RETURN_IF_ERROR(authority.CheckSigns());
  return authority;
}

// Whatever is wrong above the signer (a path length, a name constraint, a key) shows in the verdict
// on a leaf. The moment is the first at which the whole chain is valid, so an expired authority can
// still be loaded and replaced.
Status CertificateAuthority::CheckSigns() const {
  WallTime moment = not_before_ + AuthorityLimits::kBackdate;
  if (not_after_ - moment < AuthorityLimits::kTtlMin) {
    return InvalidArgument("the authority's certificates are never valid together");
  }
  ASSIGN_OR_RETURN(PrivateKey probe_key, PrivateKey::GenerateP256());
  ASSIGN_OR_RETURN(std::string public_key, probe_key.PublicKeyDer());
  ASSIGN_OR_RETURN(SpiffeId id, SpiffeId::Make(trust_domain_, "/probe"));
  ASSIGN_OR_RETURN(std::vector<std::string> chain,
                   SignLeaf(LeafRequest{id, public_key, AuthorityLimits::kTtlMin, {}}, moment));
  ASSIGN_OR_RETURN(TrustBundle bundle,
                   TrustBundle::FromAuthorities(trust_domain_, authorities_der_));
  ASSIGN_OR_RETURN(BundleSet bundles,
                   BundleSet::Create({std::make_shared<const TrustBundle>(std::move(bundle))}));
  PeerVerifier verifier(std::make_shared<const BundleSet>(std::move(bundles)));
  std::vector<std::string_view> views(chain.begin(), chain.end());
  for (PeerRole role : {PeerRole::kClient, PeerRole::kServer}) {
    VerifyResult result = verifier.Verify(views, role, moment);
    if (!result.ok()) {
      return InvalidArgument("verifiers would refuse what this authority signs: ",
                             VerifyErrorName(result.error()));
    }
  }
  return absl::OkStatus();
}

StatusOr<CertificateAuthority> CertificateAuthority::CreateSelfSigned(const TrustDomain& domain,
                                                                      std::chrono::nanoseconds ttl,
                                                                      WallTime now) {
  RETURN_IF_ERROR(CheckTtl(ttl));
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::GenerateP256());
  ASSIGN_OR_RETURN(std::string root,
                   WriteSigner({domain, key.native(), LifeFrom(now, ttl, WallTime::max())},
                               Issuer{nullptr, &key}));
  return Assemble(domain, std::move(key), {std::move(root)});
}

StatusOr<CertificateAuthority> CertificateAuthority::CreateUnder(const TrustDomain& domain,
                                                                 const UpstreamAuthority& upstream,
                                                                 std::chrono::nanoseconds ttl,
                                                                 WallTime now) {
  RETURN_IF_ERROR(CheckTtl(ttl));
  ASSIGN_OR_RETURN(PrivateKey upstream_key, PrivateKey::FromPem(upstream.key_pem));
  ASSIGN_OR_RETURN(std::vector<std::string> chain,
                   SplitPem(upstream.certificates_pem, AuthorityLimits::kChainMax - 1));
  if (chain.empty()) {
    return InvalidArgument("the upstream certificate file holds no certificate");
  }
  WallTime not_after = WallTime::max();
  X509Ptr signer;
  for (size_t i = chain.size(); i-- > 0;) {  // Ends with the signer, which the file has first.
    signer = DecodeCertificate(chain[i]);
    if (signer == nullptr) {
      return InvalidArgument("upstream certificate ", i + 1, " is malformed");
    }
    not_after = std::min(not_after, NotAfter(signer.get()));
    if (NotBefore(signer.get()) > now || not_after <= now) {
      return FailedPrecondition("upstream certificate ", i + 1, " is not valid now");
    }
  }
  EVP_PKEY* certified = X509_get0_pubkey(signer.get());
  if (certified == nullptr || EVP_PKEY_eq(certified, upstream_key.native()) != 1) {
    return MalformedError("the upstream key is not that of the first upstream certificate");
  }
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::GenerateP256());
  ASSIGN_OR_RETURN(std::string own,
                   WriteSigner({domain, key.native(), LifeFrom(now, ttl, not_after)},
                               Issuer{signer.get(), &upstream_key}));
  chain.insert(chain.begin(), std::move(own));
  return Assemble(domain, std::move(key), std::move(chain));
}

StatusOr<CertificateAuthority> CertificateAuthority::Load(const TrustDomain& domain,
                                                          const std::string& folder) {
  std::string path = FileIn(folder);
  ASSIGN_OR_RETURN(std::string pem, ReadSecretFile(path, AuthorityLimits::kFileBytesMax));
  StatusOr<PrivateKey> key = PrivateKey::FromPem(pem);
  if (!key.ok()) {
    return Annotate(key.status(), path);
  }
  StatusOr<std::vector<std::string>> chain = SplitPem(pem, AuthorityLimits::kChainMax);
  if (!chain.ok()) {
    return Annotate(chain.status(), path);
  }
  if (chain->empty()) {
    return InvalidArgument(path, ": no certificate");
  }
  StatusOr<CertificateAuthority> authority = Assemble(domain, *std::move(key), *std::move(chain));
  return authority.ok() ? std::move(authority) : Annotate(authority.status(), path);
}

Status CertificateAuthority::Save(const std::string& folder) const {
  ASSIGN_OR_RETURN(std::string pem, key_.ToPkcs8Pem());
  for (const std::string& der : chain_der_) {
    pem += CertificatePem(der);
  }
  return WriteFileAtomically(FileIn(folder), pem, 0600);
}

StatusOr<std::vector<std::string>> CertificateAuthority::SignLeaf(const LeafRequest& request,
                                                                  WallTime now) const {
  if (request.id.trust_domain_name() != trust_domain_.name()) {
    return PermissionDenied("SPIFFE ID ", Quoted(request.id.str()), " is not of the trust domain ",
                            trust_domain_.name());
  }
  if (request.id.path().empty()) {
    return PermissionDenied("the ID of the trust domain itself is for its authorities alone");
  }
  RETURN_IF_ERROR(CheckTtl(request.ttl));
  RETURN_IF_ERROR(CheckDnsNames(request.dns_names));
  RETURN_IF_ERROR(CheckSerialPrefix(request.serial_prefix));
  if (now < not_before_ || not_after_ - now < AuthorityLimits::kTtlMin) {
    return FailedPrecondition("the authority is not valid now: from ", FormatTime(not_before_),
                              " to ", FormatTime(not_after_));
  }
  const unsigned char* at = AsBytes(request.public_key_der);
  PkeyPtr public_key(d2i_PUBKEY(nullptr, &at, static_cast<long>(request.public_key_der.size())));
  if (public_key == nullptr) {
    return MalformedError("read the public key to certify");
  }
  RETURN_IF_ERROR(CheckKeyAccepted(public_key.get()));
  X509Ptr signer = DecodeCertificate(certificate_der());
  CHECK(signer != nullptr);
  LeafContent content{request.id, public_key.get(), request.dns_names,
                      LifeFrom(now, request.ttl, not_after_), request.serial_prefix};
  ASSIGN_OR_RETURN(std::string leaf, WriteLeaf(content, Issuer{signer.get(), &key_}));
  std::vector<std::string> chain = {std::move(leaf)};
  chain.insert(chain.end(), chain_der_.begin(), chain_der_.end() - 1);
  return chain;
}

}  // namespace countersign::identity
