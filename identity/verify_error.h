// VerifyError names the one rule that a presented certificate chain broke. The audit log and the
// metrics carry these names; tests compare the values.
#pragma once

#include <cstdint>
#include <string_view>

namespace countersign::identity {

enum class VerifyError : uint8_t {
  // What was presented, before a word of it is believed.
  kNoCertificate,
  kTooManyCertificates,
  kChainTooLarge,
  kMalformedCertificate,  // Not DER, or bytes after it.
  kMalformedExtension,    // An extension twice, or with content that does not decode.
  // The leaf's name.
  kNoUriSan,
  kManyUriSans,
  kBadSpiffeId,     // The URI SAN is not a valid SPIFFE ID, or holds a NUL.
  kNoPath,          // The ID of a trust domain, not of a workload.
  kSanNotCritical,  // The subject is empty, so the SAN extension must be critical.
  // What the leaf may do.
  kLeafIsCa,
  kLeafMaySign,  // keyCertSign or cRLSign.
  kNoDigitalSignature,
  kKeyUsageMissing,      // Any certificate of the path.
  kKeyUsageNotCritical,  // Any certificate of the path.
  kExtendedKeyUsage,     // Present without both serverAuth and clientAuth.
  // Whose word it is.
  kUnknownTrustDomain,
  kEmptyBundle,
  kUntrusted,  // No path to an authority of the leaf's own trust domain.
  kBadSignature,
  // The path.
  kNotYetValid,
  kExpired,
  kPathTooLong,
  kNameConstraint,
  kUnknownCriticalExtension,
  kIssuerNotCa,
  kIssuerMayNotSign,
  kIssuerHasPath,  // The SPIFFE ID of a signing certificate has no path.
  kIssuerOfOtherTrustDomain,
  kWeakKey,        // Not P-256, P-384 or RSA from 2048 to 8192 bits.
  kWeakSignature,  // Not SHA-256, SHA-384 or SHA-512 with RSA or ECDSA.
  kPathRejected,   // Another rule of RFC 5280 section 6.
  kInternal,       // No memory. Refused like the rest.
};

// VerifyErrorName is stable: "many_uri_sans".
std::string_view VerifyErrorName(VerifyError error);

}  // namespace countersign::identity
