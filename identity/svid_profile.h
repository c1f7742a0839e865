// The rules of X509-SVID that concern one certificate on its own: what a leaf and what a signing
// certificate must look like. Path building is PeerVerifier's.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/crypto/openssl.h"
#include "identity/spiffe_id.h"
#include "identity/verify_error.h"

namespace countersign::identity {

// LeafName is the outcome of reading a leaf's one URI SAN.
struct LeafName {
  std::optional<SpiffeId> id;
  VerifyError error = VerifyError::kNoUriSan;  // Meaningful without an ID.
};
LeafName ReadLeafName(X509* leaf);

// CheckLeaf holds a leaf to its profile, name aside; nullopt when it keeps it.
std::optional<VerifyError> CheckLeaf(X509* leaf);

// CheckIssuer holds any certificate above a leaf to the profile of a signing certificate.
// `expected_domain`, when given, is the only trust domain that its SPIFFE ID may name.
std::optional<VerifyError> CheckIssuer(X509* issuer, const TrustDomain* expected_domain);

// CheckAlgorithms refuses keys and signatures that this system does not trust.
std::optional<VerifyError> CheckKey(X509* certificate);
std::optional<VerifyError> CheckSignatureAlgorithm(X509* certificate);

}  // namespace countersign::identity
