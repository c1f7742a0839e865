#include "identity/peer_verifier.h"

#include <openssl/err.h>

#include <algorithm>

#include "base/crypto/hash.h"
#include "base/crypto/openssl.h"
#include "identity/certificate.h"
#include "identity/peer_verifier_openssl.h"
#include "identity/svid_profile.h"

namespace countersign::identity {
namespace {

VerifyError ErrorOfOpenSsl(int code) {
  switch (code) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return VerifyError::kNotYetValid;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return VerifyError::kExpired;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
      return VerifyError::kBadSignature;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_REJECTED:
      return VerifyError::kUntrusted;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
      return VerifyError::kPathTooLong;
    case X509_V_ERR_PERMITTED_VIOLATION:
    case X509_V_ERR_EXCLUDED_VIOLATION:
    case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX:
    case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      return VerifyError::kNameConstraint;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return VerifyError::kUnknownCriticalExtension;
    case X509_V_ERR_INVALID_CA:
      return VerifyError::kIssuerNotCa;
    case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
      return VerifyError::kIssuerMayNotSign;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
      return VerifyError::kWeakKey;
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return VerifyError::kWeakSignature;
    case X509_V_ERR_OUT_OF_MEM:
      return VerifyError::kInternal;
    default:
      return VerifyError::kPathRejected;
  }
}

// CheckPresented applies the limits before anything is decoded further, and gives the hash that
// names the chain in the log.
std::optional<VerifyError> CheckPresented(STACK_OF(X509) * chain, std::string& chain_sha256) {
  if (chain == nullptr || sk_X509_num(chain) == 0) {
    return VerifyError::kNoCertificate;
  }
  if (static_cast<size_t>(sk_X509_num(chain)) > VerifyLimits::kPresentedMax) {
    return VerifyError::kTooManyCertificates;
  }
  Sha256Hasher hasher;
  size_t bytes = 0;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    StatusOr<std::string> der = EncodeCertificate(sk_X509_value(chain, i));
    if (!der.ok()) {
      return VerifyError::kMalformedCertificate;
    }
    bytes += der->size();
    if (bytes > VerifyLimits::kPresentedBytesMax) {
      return VerifyError::kChainTooLarge;
    }
    hasher.Update(*der);
  }
  chain_sha256 = HexLower(hasher.Finish());
  return std::nullopt;
}

// PathTask is one path to build: from the leaf, through what was presented, to the authorities of
// one trust domain and no other.
struct PathTask {
  STACK_OF(X509) * presented;
  STACK_OF(X509) * authorities;
  PeerRole role;
  WallTime now;
};

// BuildPath performs RFC 5280 section 6; `context` then holds the path.
std::optional<VerifyError> BuildPath(const PathTask& task, X509_STORE_CTX* context) {
  if (X509_STORE_CTX_init(context, nullptr, sk_X509_value(task.presented, 0), task.presented) !=
      1) {
    return VerifyError::kInternal;
  }
  X509_STORE_CTX_set0_trusted_stack(context, task.authorities);
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_auth_level(rules, 2);  // 112 bits: no SHA-1, no RSA below 2048.
  X509_VERIFY_PARAM_set_depth(rules, static_cast<int>(VerifyLimits::kPresentedMax));
  X509_VERIFY_PARAM_set_time(
      rules, std::chrono::floor<std::chrono::seconds>(task.now).time_since_epoch().count());
  // The bundle alone says what an authority is; RFC 5280 6.1.1 (d) asks for no self-signature.
  X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  if (X509_VERIFY_PARAM_set_purpose(rules, task.role == PeerRole::kClient
                                               ? X509_PURPOSE_SSL_CLIENT
                                               : X509_PURPOSE_SSL_SERVER) != 1) {
    return VerifyError::kInternal;
  }
  if (X509_verify_cert(context) == 1) {
    return std::nullopt;
  }
  int code = X509_STORE_CTX_get_error(context);
  X509* current = X509_STORE_CTX_get_current_cert(context);
  if (code == X509_V_ERR_INVALID_CA && current != nullptr) {
    // One code for all that keeps a certificate from signing; the log names which it was.
    return CheckIssuer(current, nullptr).value_or(VerifyError::kIssuerNotCa);
  }
  return ErrorOfOpenSsl(code);
}

// CheckPath applies the rules that RFC 5280 does not have to the path that was built.
std::optional<VerifyError> CheckPath(X509_STORE_CTX* context, const TrustDomain& domain,
                                     WallTime& not_after) {
  STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context);
  int last = sk_X509_num(path) - 1;
  for (int i = 0; i <= last; ++i) {
    X509* certificate = sk_X509_value(path, i);
    not_after = std::min(not_after, NotAfter(certificate));
    if (auto error = CheckKey(certificate)) {
      return error;
    }
    // Nobody relies on the signature of an authority: the bundle holds it.
    if (i < last) {
      if (auto error = CheckSignatureAlgorithm(certificate)) {
        return error;
      }
    }
    if (i > 0) {
      // An authority may be shared by several domains; what it signed for one may not be another's.
      if (auto error = CheckIssuer(certificate, i < last ? &domain : nullptr)) {
        return error;
      }
    }
  }
  return last > 0 ? std::nullopt : std::optional(VerifyError::kUntrusted);
}

}  // namespace

PeerVerifier::PeerVerifier(std::shared_ptr<const BundleSet> bundles)
    : bundles_(std::move(bundles)) {
  CHECK(bundles_ != nullptr);
}

VerifyResult PeerVerifier::Verify(std::span<const std::string_view> chain_der_leaf_first,
                                  PeerRole role, WallTime now) const {
  if (chain_der_leaf_first.empty()) {
    return VerifyResult(VerifyError::kNoCertificate);
  }
  if (chain_der_leaf_first.size() > VerifyLimits::kPresentedMax) {
    return VerifyResult(VerifyError::kTooManyCertificates);
  }
  X509StackPtr chain(sk_X509_new_null());
  size_t bytes = 0;
  for (std::string_view der : chain_der_leaf_first) {
    bytes += der.size();
    if (bytes > VerifyLimits::kPresentedBytesMax) {
      return VerifyResult(VerifyError::kChainTooLarge);
    }
    X509Ptr certificate = DecodeCertificate(der);
    if (certificate == nullptr) {
      return VerifyResult(VerifyError::kMalformedCertificate);
    }
    if (chain == nullptr || sk_X509_push(chain.get(), certificate.get()) == 0) {
      return VerifyResult(VerifyError::kInternal);
    }
    (void)certificate.release();  // The list owns it now.
  }
  return VerifyNative(chain.get(), role, now);
}

VerifyResult PeerVerifier::VerifyNative(stack_st_X509* chain_leaf_first, PeerRole role,
                                        WallTime now) const {
  std::string chain_sha256;
  if (auto error = CheckPresented(chain_leaf_first, chain_sha256)) {
    return VerifyResult(*error);
  }
  X509* leaf = sk_X509_value(chain_leaf_first, 0);
  LeafName name = ReadLeafName(leaf);
  if (!name.id.has_value()) {
    return VerifyResult(name.error);
  }
  const SpiffeId& id = *name.id;
  // X509-SVID 5.2: the ID of a leaf has a path; that of a trust domain authenticates nobody.
  if (id.path().empty()) {
    return VerifyResult(VerifyError::kNoPath, id.str());
  }
  if (auto error = CheckLeaf(leaf)) {
    return VerifyResult(*error, id.str());
  }
  // Only the bundle of the leaf's own domain is ever offered to path building, so that an authority
  // of one domain cannot vouch for a name of another.
  BundleSet::Bundle bundle = bundles_->Find(id.trust_domain_name());
  if (bundle == nullptr) {
    return VerifyResult(VerifyError::kUnknownTrustDomain, id.str());
  }
  if (bundle->authorities_der().empty()) {
    return VerifyResult(VerifyError::kEmptyBundle, id.str());
  }
  X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (context == nullptr) {
    ERR_clear_error();
    return VerifyResult(VerifyError::kInternal, id.str());
  }
  WallTime not_after = WallTime::max();
  PathTask task{chain_leaf_first, bundle->native_authorities(), role, now};
  std::optional<VerifyError> error = BuildPath(task, context.get());
  if (!error.has_value()) {
    error = CheckPath(context.get(), bundle->trust_domain(), not_after);
  }
  ERR_clear_error();
  if (error.has_value()) {
    return VerifyResult(*error, id.str());
  }
  return VerifyResult(
      VerifiedPeer(id, SerialHex(leaf), std::move(chain_sha256), {NotBefore(leaf), not_after}));
}

VerifyResult VerifyInHandshake(const PeerVerifier& verifier, X509_STORE_CTX* context, PeerRole role,
                               WallTime now) {
  // The untrusted list is what the peer sent, the leaf first, on either side of the connection.
  return verifier.VerifyNative(X509_STORE_CTX_get0_untrusted(context), role, now);
}

}  // namespace countersign::identity
