#include "identity/verify_error.h"

namespace countersign::identity {

std::string_view VerifyErrorName(VerifyError error) {
  switch (error) {
    case VerifyError::kNoCertificate:
      return "no_certificate";
    case VerifyError::kTooManyCertificates:
      return "too_many_certificates";
    case VerifyError::kChainTooLarge:
      return "chain_too_large";
    case VerifyError::kMalformedCertificate:
      return "malformed_certificate";
    case VerifyError::kMalformedExtension:
      return "malformed_extension";
    case VerifyError::kNoUriSan:
      return "no_uri_san";
    case VerifyError::kManyUriSans:
      return "many_uri_sans";
    case VerifyError::kBadSpiffeId:
      return "bad_spiffe_id";
    case VerifyError::kNoPath:
      return "no_path";
    case VerifyError::kSanNotCritical:
      return "san_not_critical";
    case VerifyError::kLeafIsCa:
      return "leaf_is_ca";
    case VerifyError::kLeafMaySign:
      return "leaf_may_sign";
    case VerifyError::kNoDigitalSignature:
      return "no_digital_signature";
    case VerifyError::kKeyUsageMissing:
      return "key_usage_missing";
    case VerifyError::kKeyUsageNotCritical:
      return "key_usage_not_critical";
    case VerifyError::kExtendedKeyUsage:
      return "extended_key_usage";
    case VerifyError::kUnknownTrustDomain:
      return "unknown_trust_domain";
    case VerifyError::kEmptyBundle:
      return "empty_bundle";
    case VerifyError::kUntrusted:
      return "untrusted";
    case VerifyError::kBadSignature:
      return "bad_signature";
    case VerifyError::kNotYetValid:
      return "not_yet_valid";
    case VerifyError::kExpired:
      return "expired";
    case VerifyError::kPathTooLong:
      return "path_too_long";
    case VerifyError::kNameConstraint:
      return "name_constraint";
    case VerifyError::kUnknownCriticalExtension:
      return "unknown_critical_extension";
    case VerifyError::kIssuerNotCa:
      return "issuer_not_ca";
    case VerifyError::kIssuerMayNotSign:
      return "issuer_may_not_sign";
    case VerifyError::kIssuerHasPath:
      return "issuer_has_path";
    case VerifyError::kIssuerOfOtherTrustDomain:
      return "issuer_of_other_trust_domain";
    case VerifyError::kWeakKey:
      return "weak_key";
    case VerifyError::kWeakSignature:
      return "weak_signature";
    case VerifyError::kPathRejected:
      return "path_rejected";
    case VerifyError::kInternal:
      return "internal";
  }
  return "internal";
}

}  // namespace countersign::identity
