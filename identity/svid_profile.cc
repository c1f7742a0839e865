#include "identity/svid_profile.h"

#include <openssl/err.h>

#include <algorithm>
#include <string_view>

#include "identity/key.h"

namespace countersign::identity {
namespace {

// Critical says whether an extension is there; X509_get_ext_d2i's own numbers for the rest.
enum Presence { kAbsentExtension = -1, kDuplicateExtension = -2 };

template <class Ptr>
struct Extension {
  Ptr value;
  int critical = kAbsentExtension;  // 0 or 1 when it is there.
  bool present() const { return value != nullptr; }
  // A second extension of the kind, or content that does not decode.
  bool broken() const { return value == nullptr && critical != kAbsentExtension; }
};

template <class Ptr>
Extension<Ptr> ReadExtension(X509* certificate, int nid) {
  Extension<Ptr> extension;
  extension.value.reset(static_cast<typename Ptr::pointer>(
      X509_get_ext_d2i(certificate, nid, &extension.critical, nullptr)));
  ERR_clear_error();
  return extension;
}

// CountUris gives the number of URI names, of those that are SPIFFE's, and the first. IA5String
// lengths come from the DER; nothing here stops at a NUL.
struct Uris {
  int count = 0;
  int spiffe = 0;  // Of them; the scheme in any case, as RFC 3986 section 3.1 reads it.
  std::string_view first;
};
bool HasSpiffeScheme(std::string_view uri) {
  constexpr std::string_view kSpiffe = "spiffe:";
  return uri.size() >= kSpiffe.size() &&
         std::equal(kSpiffe.begin(), kSpiffe.end(), uri.begin(), [](char lower, char c) {
           return lower == (c >= 'A' && c <= 'Z' ? c + 32 : c);
         });
}
Uris CountUris(const GENERAL_NAMES* names) {
  Uris uris;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) {
      continue;
    }
    const ASN1_IA5STRING* value = name->d.uniformResourceIdentifier;
    std::string_view uri = {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                            static_cast<size_t>(ASN1_STRING_length(value))};
    uris.spiffe += HasSpiffeScheme(uri) ? 1 : 0;
    if (uris.count++ == 0) {
      uris.first = uri;
    }
  }
  return uris;
}

bool SubjectIsEmpty(X509* certificate) {
  return X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0;
}

// X509-SVID 4.3: the key usage extension is set and critical on every certificate.
std::optional<VerifyError> CheckKeyUsagePresent(X509* certificate) {
  auto usage =
      ReadExtension<OpenSslPtr<ASN1_BIT_STRING, ASN1_BIT_STRING_free>>(certificate, NID_key_usage);
  if (usage.broken()) {
    return VerifyError::kMalformedExtension;
  }
  if (!usage.present()) {
    return VerifyError::kKeyUsageMissing;
  }
  if (usage.critical != 1) {
    return VerifyError::kKeyUsageNotCritical;
  }
  return std::nullopt;
}

// ExtensionsDecode covers every extension that OpenSSL knows, also those that no rule here reads.
bool ExtensionsDecode(X509* certificate) {
  // -1 decodes and caches them; the flags are not set before.
  bool cached = X509_check_purpose(certificate, -1, 0) == 1;
  ERR_clear_error();
  return cached && (X509_get_extension_flags(certificate) & EXFLAG_INVALID) == 0;
}

// RFC 5280 4.2: no extension appears twice, the kinds that nobody here reads included.
bool ExtensionTwice(X509* certificate) {
  for (int i = 0; i < X509_get_ext_count(certificate); ++i) {
    ASN1_OBJECT* kind = X509_EXTENSION_get_object(X509_get_ext(certificate, i));
    if (X509_get_ext_by_OBJ(certificate, kind, i) >= 0) {
      return true;
    }
  }
  return false;
}

std::optional<VerifyError> CheckExtendedKeyUsage(X509* leaf) {
  auto usages = ReadExtension<ExtendedKeyUsagePtr>(leaf, NID_ext_key_usage);
  if (usages.broken()) {
    return VerifyError::kMalformedExtension;
  }
  if (!usages.present()) {
    return std::nullopt;
  }
  // X509-SVID 4.4: when it is there, serverAuth and clientAuth are both in it.
  // anyExtendedKeyUsage is neither.
  bool server = false;
  bool client = false;
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.value.get()); ++i) {
    int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usages.value.get(), i));
    server |= nid == NID_server_auth;
    client |= nid == NID_client_auth;
  }
  return server && client ? std::nullopt : std::optional(VerifyError::kExtendedKeyUsage);
}

}  // namespace

LeafName ReadLeafName(X509* leaf) {
  auto names = ReadExtension<GeneralNamesPtr>(leaf, NID_subject_alt_name);
  if (names.broken()) {
    return {std::nullopt, VerifyError::kMalformedExtension};
  }
  Uris uris = names.present() ? CountUris(names.value.get()) : Uris();
  // X509-SVID 2: "An X.509 SVID MUST contain exactly one URI SAN". DNS names and the subject, even
  // if they spell an ID, are no identity.
  if (uris.count == 0) {
    return {std::nullopt, VerifyError::kNoUriSan};
  }
  if (uris.count > 1) {
    return {std::nullopt, VerifyError::kManyUriSans};
  }
  StatusOr<SpiffeId> id = SpiffeId::Parse(uris.first);
  if (!id.ok()) {
    return {std::nullopt, VerifyError::kBadSpiffeId};
  }
  return {std::move(*id), VerifyError::kNoUriSan};
}

std::optional<VerifyError> CheckLeaf(X509* leaf) {
  if (!ExtensionsDecode(leaf) || ExtensionTwice(leaf)) {
    return VerifyError::kMalformedExtension;
  }
  auto names = ReadExtension<GeneralNamesPtr>(leaf, NID_subject_alt_name);
  // RFC 5280 4.1.2.6: with an empty subject the SAN extension is critical.
  if (SubjectIsEmpty(leaf) && names.critical != 1) {
    return VerifyError::kSanNotCritical;
  }
  auto constraints = ReadExtension<BasicConstraintsPtr>(leaf, NID_basic_constraints);
  if (constraints.broken()) {
    return VerifyError::kMalformedExtension;
  }
  // X509-SVID 5.2: a leaf that is a CA, or that may sign certificates or CRLs, authenticates
  // nobody.
  if (constraints.present() && constraints.value->ca != 0) {
    return VerifyError::kLeafIsCa;
  }
  if (auto error = CheckKeyUsagePresent(leaf)) {
    return error;
  }
  uint32_t usage = X509_get_key_usage(leaf);
  if ((usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0) {
    return VerifyError::kLeafMaySign;
  }
  if ((usage & KU_DIGITAL_SIGNATURE) == 0) {
    return VerifyError::kNoDigitalSignature;
  }
  return CheckExtendedKeyUsage(leaf);
}

std::optional<VerifyError> CheckIssuer(X509* issuer, const TrustDomain* expected_domain) {
  if (!ExtensionsDecode(issuer) || ExtensionTwice(issuer)) {
    return VerifyError::kMalformedExtension;
  }
  auto constraints = ReadExtension<BasicConstraintsPtr>(issuer, NID_basic_constraints);
  if (!constraints.present() || constraints.value->ca == 0) {
    return VerifyError::kIssuerNotCa;
  }
  if (auto error = CheckKeyUsagePresent(issuer)) {
    return error;
  }
  if ((X509_get_key_usage(issuer) & KU_KEY_CERT_SIGN) == 0) {
    return VerifyError::kIssuerMayNotSign;
  }
  auto names = ReadExtension<GeneralNamesPtr>(issuer, NID_subject_alt_name);
  if (names.broken()) {
    return VerifyError::kMalformedExtension;
  }
  Uris uris = names.present() ? CountUris(names.value.get()) : Uris();
  if (uris.spiffe == 0) {
    return std::nullopt;  // A signing certificate needs no SPIFFE ID.
  }
  // With one it is an SVID itself, so nothing stands beside it.
  StatusOr<SpiffeId> id = SpiffeId::Parse(uris.first);
  if (!id.ok() || uris.count > 1) {
    return VerifyError::kBadSpiffeId;
  }
  // X509-SVID 3.2: the ID of a signing certificate has no path.
  if (!id->path().empty()) {
    return VerifyError::kIssuerHasPath;
  }
  if (expected_domain != nullptr && id->trust_domain_name() != expected_domain->name()) {
    return VerifyError::kIssuerOfOtherTrustDomain;
  }
  return std::nullopt;
}

std::optional<VerifyError> CheckKey(X509* certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  ERR_clear_error();
  return key != nullptr && CheckKeyAccepted(key).ok() ? std::nullopt
                                                      : std::optional(VerifyError::kWeakKey);
}

std::optional<VerifyError> CheckSignatureAlgorithm(X509* certificate) {
  switch (X509_get_signature_nid(certificate)) {
    case NID_ecdsa_with_SHA256:
    case NID_ecdsa_with_SHA384:
    case NID_ecdsa_with_SHA512:
    case NID_sha256WithRSAEncryption:
    case NID_sha384WithRSAEncryption:
    case NID_sha512WithRSAEncryption:
      return std::nullopt;
    default:
      return VerifyError::kWeakSignature;
  }
}

}  // namespace countersign::identity
