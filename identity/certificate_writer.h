// Writes the two kinds of certificate that this system signs: leaves and signing certificates.
//
// The profile is X509-SVID sections 2 to 4; svid_profile.h reads what this writes. Who may have
// which certificate is not decided here.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crypto/openssl.h"
#include "identity/key.h"
#include "identity/spiffe_id.h"

namespace countersign::identity {

// Validity in whole seconds: `not_after` is rounded down.
struct Validity {
  WallTime not_before;
  WallTime not_after;
};

// Issuer is a certificate and its key, borrowed for the call; no certificate means self-signed.
struct Issuer {
  X509* certificate = nullptr;
  const PrivateKey* key = nullptr;
};

struct LeafContent {
  const SpiffeId& id;
  EVP_PKEY* public_key;
  const std::vector<std::string>& dns_names;
  Validity validity;
  const std::string& serial_prefix;
};
// WriteLeaf gives DER with an empty subject and a random serial of 128 bits; with a prefix, of
// those 8 bytes and 96 random bits, the 20 octets that RFC 5280 section 4.1.2.2 allows.
StatusOr<std::string> WriteLeaf(const LeafContent& content, const Issuer& issuer);

struct SignerContent {
  const TrustDomain& domain;
  EVP_PKEY* public_key;
  Validity validity;
};
// WriteSigner gives DER of a signing certificate that may sign leaves and CRLs and no further
// signer.
StatusOr<std::string> WriteSigner(const SignerContent& content, const Issuer& issuer);

}  // namespace countersign::identity
