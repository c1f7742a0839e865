// VerifiedPeer is the proof that a peer's X509-SVID was verified. It knows nothing of TLS or
// OpenSSL, so that the policy engine may take it as a parameter.
#pragma once

#include <string>
#include <utility>

#include "base/clock.h"
#include "identity/spiffe_id.h"

namespace countersign::identity {

// VerifiedPeer is made by PeerVerifier alone, from a chain that passed every rule of X509-SVID
// section 5. Immutable; copyable, because the proof is about the peer, not about one request.
class VerifiedPeer {
 public:
  const SpiffeId& id() const { return id_; }
  // serial is the leaf's, lower-case hex without leading zeros.
  const std::string& serial() const { return serial_; }
  // chain_sha256 is the SHA-256 over the DER of leaf and intermediates as presented, lower-case
  // hex.
  const std::string& chain_sha256() const { return chain_sha256_; }
  // not_before is the leaf's: when it was signed, less what its issuer allows for slow clocks.
  WallTime not_before() const { return not_before_; }
  // not_after is the earliest end of any certificate on the verified path.
  WallTime not_after() const { return not_after_; }

 private:
  friend class PeerVerifier;
  struct Life {
    WallTime not_before;
    WallTime not_after;
  };
  VerifiedPeer(SpiffeId id, std::string serial, std::string chain_sha256, const Life& life)
      : id_(std::move(id)),
        serial_(std::move(serial)),
        chain_sha256_(std::move(chain_sha256)),
        not_before_(life.not_before),
        not_after_(life.not_after) {}
  SpiffeId id_;
  std::string serial_;
  std::string chain_sha256_;
  WallTime not_before_;
  WallTime not_after_;
};

}  // namespace countersign::identity
