// PeerVerifier decides whether a presented chain is a valid X509-SVID, and whose.
//
// It takes DER, so that tests, fuzzers and simulation need no TLS; peer_verifier_openssl.h is for
// the proxy's handshake. It knows nothing of policy: who may do what is decided elsewhere.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "identity/trust_bundle.h"
#include "identity/verified_peer.h"
#include "identity/verify_error.h"

struct x509_st;

namespace countersign::identity {

struct VerifyLimits {
  static constexpr size_t kPresentedMax = 8;  // Leaf and intermediates.
  static constexpr size_t kPresentedBytesMax = 64 * 1024;
};

// PeerRole is the side of the connection that the peer is on.
enum class PeerRole { kClient, kServer };

// VerifyResult is a verified peer or the rule that was broken.
class [[nodiscard]] VerifyResult {
 public:
  bool ok() const { return std::holds_alternative<VerifiedPeer>(outcome_); }
  const VerifiedPeer& peer() const { return std::get<VerifiedPeer>(outcome_); }
  VerifyError error() const { return std::get<VerifyError>(outcome_); }
  // claimed_id is what a refused leaf says it is, unproven, for the log; empty if it says nothing
  // readable.
  const std::string& claimed_id() const { return claimed_id_; }

 private:
  friend class PeerVerifier;
  explicit VerifyResult(VerifiedPeer peer) : outcome_(std::move(peer)) {}
  explicit VerifyResult(VerifyError error, std::string claimed_id = {})
      : outcome_(error), claimed_id_(std::move(claimed_id)) {}
  std::variant<VerifiedPeer, VerifyError> outcome_;
  std::string claimed_id_;
};

// PeerVerifier judges against one set of bundles. Immutable and safe for any thread; a new set is a
// new verifier, which costs one allocation.
class PeerVerifier {
 public:
  explicit PeerVerifier(std::shared_ptr<const BundleSet> bundles);

  // Verify takes the certificates as the peer presented them, leaf first. Certificates that the
  // path does not need are ignored.
  VerifyResult Verify(std::span<const std::string_view> chain_der_leaf_first, PeerRole role,
                      WallTime now) const;

  // VerifyNative is Verify for certificates that TLS has decoded already, leaf first. It borrows.
  VerifyResult VerifyNative(stack_st_X509* chain_leaf_first, PeerRole role, WallTime now) const;

  const std::shared_ptr<const BundleSet>& bundles() const { return bundles_; }

 private:
  std::shared_ptr<const BundleSet> bundles_;
};

}  // namespace countersign::identity
