// Issuer is the server's side of signing: the authority in the data folder, the clock that must be
// trusted before anything is signed, and the server's own SVID.
//
// What may be signed for whom is decided by its callers.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "identity/certificate_authority.h"
#include "identity/trust_bundle.h"
#include "identity/x509_svid.h"

namespace countersign::server {

struct IssuerLimits {
  static constexpr int kAuthorityLives = 6;  // The CA lives at least so many SVID lives.
  static constexpr std::chrono::hours kSvidTtlMax{168};  // Nothing revokes an SVID before its end.
  static constexpr std::chrono::seconds kClockJump{5};   // NTP slews by less between two looks.
};

struct IssuerOptions {
  identity::TrustDomain trust_domain;
  std::string folder;  // Of the authority's key; made if it is not there.
  std::chrono::nanoseconds authority_ttl;
  std::chrono::nanoseconds longest_svid_ttl;  // Of the server and its agents.
  std::string upstream_cert_path;             // Both or none.
  std::string upstream_key_path;
};

struct SignRequest {
  identity::SpiffeId id;
  std::string csr_der;
  std::chrono::nanoseconds ttl;
  std::vector<std::string> dns_names;
  std::string serial_prefix = {};  // As identity::LeafRequest's.
};

struct SignedSvid {
  std::vector<std::string> chain_der;
  std::string serial;
  WallTime not_after;
};

// Issuer is safe for any thread. The clock outlives it.
class Issuer {
 public:
  // Open loads the authority, or makes one the first time. An expired one is an error that says
  // what to do, because a new one needs every agent to attest again.
  static StatusOr<std::unique_ptr<Issuer>> Open(const IssuerOptions& options, const Clock& clock);

  // Sign checks the request's own signature and the clock. An SVID never outlives the authority.
  StatusOr<SignedSvid> Sign(const SignRequest& request) const;
  // MakeServerSvid signs spiffe://TD/server for a new key.
  StatusOr<identity::X509Svid> MakeServerSvid(std::chrono::nanoseconds ttl) const;

  // CheckClock refuses a wall clock outside the authority's life. It logs when the wall clock moved
  // against the monotonic one since the last look.
  Status CheckClock() const;

  // EndsSoon: less than a fifth of the authority's life is left. It is not renewed by itself.
  bool EndsSoon() const;

  const identity::CertificateAuthority& authority() const { return authority_; }
  const identity::TrustDomain& trust_domain() const { return authority_.trust_domain(); }
  // longest_ttl is what a registration may ask for.
  std::chrono::nanoseconds longest_ttl() const;

 private:
  Issuer(identity::CertificateAuthority authority, const Clock& clock);
  identity::CertificateAuthority authority_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  mutable std::chrono::nanoseconds wall_ahead_;  // Wall less monotonic. Guarded by mutex_.
};

}  // namespace countersign::server
