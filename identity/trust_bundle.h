// TrustBundle is what one trust domain says of itself: its X.509 authorities. BundleSet is all the
// domains that somebody trusts.
//
// SPIFFE Trust Domain and Bundle, sections 4 and 6. Bundles of different domains are never merged.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "identity/spiffe_id.h"

struct stack_st_X509;

namespace countersign::identity {

struct BundleLimits {
  static constexpr size_t kJsonBytesMax = 1024 * 1024;  // Some 500 RSA authorities.
  static constexpr size_t kJsonDepthMax = 16;           // A bundle needs four.
  static constexpr size_t kKeysMax = 256;               // Keys of every use together.
  static constexpr size_t kAuthoritiesMax = 64;         // Each is tried while a path is built.
  static constexpr size_t kAuthorityBytesMax = 16 * 1024;
  static constexpr size_t kDomainsMax = 1024;
};

// TrustBundle is immutable; share it as shared_ptr<const TrustBundle>. No authorities is legal and
// means that every SVID of the domain is refused.
class TrustBundle {
 public:
  struct Facts {
    uint64_t sequence = 0;
    std::chrono::seconds refresh_hint{0};  // 0: none given.
  };

  // ParseJson reads a SPIFFE bundle. Members and keys that the standard tells a consumer to ignore
  // are ignored; duplicate members, a wrong type and an authority that is no CA refuse the whole.
  static StatusOr<TrustBundle> ParseJson(const TrustDomain& domain, std::string_view json);
  static StatusOr<TrustBundle> FromAuthorities(const TrustDomain& domain,
                                               std::vector<std::string> authorities_der,
                                               const Facts& facts);
  static StatusOr<TrustBundle> FromAuthorities(const TrustDomain& domain,
                                               std::vector<std::string> authorities_der) {
    return FromAuthorities(domain, std::move(authorities_der), Facts());
  }
  // FromConcatenatedDer reads the Workload API's form: certificates one after another.
  static StatusOr<TrustBundle> FromConcatenatedDer(const TrustDomain& domain, std::string_view der);
  // FromPem reads any number of certificates, each of which must be an authority.
  static StatusOr<TrustBundle> FromPem(const TrustDomain& domain, std::string_view pem);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  const std::vector<std::string>& authorities_der() const { return authorities_der_; }
  uint64_t sequence() const { return facts_.sequence; }
  std::chrono::seconds refresh_hint() const { return facts_.refresh_hint; }

  // ToJson is canonical: equal bundles give equal bytes. It is what the pin is the hash of.
  std::string ToJson() const;
  // Sha256Pin is the SHA-256 of ToJson in lower-case hex.
  std::string Sha256Pin() const;
  std::string AuthoritiesPem() const;

  // native_authorities is OpenSSL's form, owned by this value.
  stack_st_X509* native_authorities() const { return native_.get(); }

 private:
  explicit TrustBundle(TrustDomain domain) : trust_domain_(std::move(domain)) {}
  TrustDomain trust_domain_;
  std::vector<std::string> authorities_der_;
  Facts facts_;
  std::shared_ptr<stack_st_X509> native_;
};

// BundleSet maps each trust domain to its one bundle. Immutable; share as shared_ptr<const>.
class BundleSet {
 public:
  using Bundle = std::shared_ptr<const TrustBundle>;
  using Map = std::map<std::string, Bundle, std::less<>>;

  BundleSet() = default;  // Trusts nobody.
  // Create refuses two bundles for one domain.
  static StatusOr<BundleSet> Create(std::vector<Bundle> bundles);

  // Find is the domain's bundle, or null.
  Bundle Find(std::string_view trust_domain_name) const;
  const Map& all() const { return bundles_; }

 private:
  Map bundles_;
};

}  // namespace countersign::identity
