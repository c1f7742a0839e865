// CertificateAuthority signs X509-SVIDs for one trust domain, under its own root or under one that
// an operator brings. What may be signed for whom is decided by the server, not here.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "identity/csr.h"
#include "identity/key.h"
#include "identity/spiffe_id.h"

namespace countersign::identity {

struct AuthorityLimits {
  static constexpr std::chrono::seconds kBackdate{10};  // For verifiers whose clock is behind.
  static constexpr std::chrono::seconds kTtlMin{1};     // Certificates count whole seconds.
  static constexpr size_t kDnsNamesMax = 32;            // Keeps a leaf well under 16 KiB.
  static constexpr size_t kFileBytesMax = 256 * 1024;   // Key, own certificate and upstream chain.
  static constexpr size_t kSerialPrefixBytes = 8;       // Leaves 96 random bits of a serial's 160.
  static constexpr size_t kChainMax = 6;                // Own certificate and those above it.
};

// UpstreamAuthority is an operator's signing certificate and key. certificates_pem holds the
// signer first and ends with its self-signed root, which is what verifiers will trust.
struct UpstreamAuthority {
  std::string certificates_pem;
  std::string key_pem;
};

struct LeafRequest {
  SpiffeId id;
  std::string public_key_der;  // CertificateRequest::public_key_der.
  std::chrono::nanoseconds ttl;
  std::vector<std::string> dns_names;
  // Empty, or kSerialPrefixBytes that begin the serial, so that the leaf itself says what it was
  // issued for. The first is 0x10 to 0x7f: the number is positive and its hex never shortened.
  std::string serial_prefix = {};
};

// CertificateAuthority is immutable and safe for any thread.
class CertificateAuthority {
 public:
  static StatusOr<CertificateAuthority> CreateSelfSigned(const TrustDomain& domain,
                                                         std::chrono::nanoseconds ttl,
                                                         WallTime now);
  // CreateUnder refuses an upstream whose leaves a verifier would refuse, and says why.
  static StatusOr<CertificateAuthority> CreateUnder(const TrustDomain& domain,
                                                    const UpstreamAuthority& upstream,
                                                    std::chrono::nanoseconds ttl, WallTime now);
  // Load reads what Save wrote. kNotFound when there is none; a file that others may read, that is
  // torn or that belongs to another trust domain is an error.
  static StatusOr<CertificateAuthority> Load(const TrustDomain& domain, const std::string& folder);
  // Save writes key and certificates as one file of mode 0600, whole or not at all.
  Status Save(const std::string& folder) const;

  // SignLeaf gives DER, leaf first, then the certificates up to the root without it. The life is
  // cut to the authority's own.
  StatusOr<std::vector<std::string>> SignLeaf(const LeafRequest& request, WallTime now) const;

  const TrustDomain& trust_domain() const { return trust_domain_; }
  // authorities_der is what a bundle must hold for these leaves to verify.
  const std::vector<std::string>& authorities_der() const { return authorities_der_; }
  // certificate_der is the certificate that signs.
  const std::string& certificate_der() const { return chain_der_.front(); }
  const std::string& serial() const { return serial_; }
  WallTime not_before() const { return not_before_; }
  // not_after is the earliest end from the signing certificate to the root.
  WallTime not_after() const { return not_after_; }

 private:
  CertificateAuthority(TrustDomain domain, PrivateKey key)
      : trust_domain_(std::move(domain)), key_(std::move(key)) {}
  static StatusOr<CertificateAuthority> Assemble(const TrustDomain& domain, PrivateKey key,
                                                 std::vector<std::string> chain_der);
  Status CheckSigns() const;

  TrustDomain trust_domain_;
  PrivateKey key_;
  std::vector<std::string> chain_der_;  // Signer first, root last; one when self-signed.
  std::vector<std::string> authorities_der_;
  std::string serial_;
  WallTime not_before_;
  WallTime not_after_;
};

}  // namespace countersign::identity
