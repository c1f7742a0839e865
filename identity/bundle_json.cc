#include "identity/bundle_json.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include "base/crypto/base64.h"
#include "identity/certificate.h"
#include "identity/strict_json.h"

namespace countersign::identity {
namespace {

constexpr uint64_t kRefreshHintSecondsMax = 366u * 24 * 3600;

// ReadCount reads a member that the standard calls an integer; absent is 0.
StatusOr<uint64_t> ReadCount(const Json& object, const char* name) {
  auto member = object.find(name);
  if (member == object.end()) {
    return uint64_t{0};
  }
  if (!member->is_number_unsigned()) {
    return InvalidArgument("bundle member ", name, " must be an integer from 0 to 2^64-1");
  }
  return member->get<uint64_t>();
}

bool MemberIs(const Json& object, const char* name, std::string_view text) {
  auto member = object.find(name);
  return member != object.end() && member->is_string() &&
         member->get_ref<const std::string&>() == text;
}

// ReadAuthority appends the authority of one JWK, or nothing for a key that is not ours to read.
Status ReadAuthority(const Json& key, std::vector<std::string>& authorities) {
  if (!key.is_object()) {
    return InvalidArgument("it is not an object");
  }
  // Bundle 4.2.1 and 4.2.2: a consumer ignores the element when kty or use is missing or unknown;
  // both are compared with case.
  bool known_type = MemberIs(key, "kty", "EC") || MemberIs(key, "kty", "RSA");
  if (!known_type || !MemberIs(key, "use", "x509-svid")) {
    return absl::OkStatus();
  }
  // X509-SVID 6.1: without an x5c value the entry is ignored; of several, the first counts.
  auto chain = key.find("x5c");
  if (chain == key.end() || (chain->is_array() && chain->empty())) {
    return absl::OkStatus();
  }
  if (!chain->is_array() || !chain->front().is_string()) {
    return InvalidArgument("x5c must be an array of strings");
  }
  StatusOr<std::string> der = Base64Decode(chain->front().get_ref<const std::string&>());
  if (!der.ok()) {
    return Annotate(der.status(), "x5c");
  }
  authorities.push_back(*std::move(der));
  return absl::OkStatus();
}

std::string UnsignedBytes(const EVP_PKEY* key, const char* parameter, size_t width) {
  BIGNUM* raw = nullptr;
  CHECK(EVP_PKEY_get_bn_param(key, parameter, &raw) == 1);
  BignumPtr number(raw);
  size_t size = std::max(width, static_cast<size_t>(BN_num_bytes(raw)));
  std::string bytes(size, '\0');
  CHECK(BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size)) >=
        0);
  return bytes;
}

// RFC 7518 6.2 and 6.3: coordinates have the curve's full width, modulus and exponent the least.
Json PublicKeyMembers(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    return {{"kty", "RSA"},
            {"n", Base64UrlEncode(UnsignedBytes(key, OSSL_PKEY_PARAM_RSA_N, 0))},
            {"e", Base64UrlEncode(UnsignedBytes(key, OSSL_PKEY_PARAM_RSA_E, 0))}};
  }
  bool is_p256 = EVP_PKEY_get_bits(key) == 256;
  size_t width = is_p256 ? 32 : 48;
  return {{"kty", "EC"},
          {"crv", is_p256 ? "P-256" : "P-384"},
          {"x", Base64UrlEncode(UnsignedBytes(key, OSSL_PKEY_PARAM_EC_PUB_X, width))},
          {"y", Base64UrlEncode(UnsignedBytes(key, OSSL_PKEY_PARAM_EC_PUB_Y, width))}};
}

}  // namespace

StatusOr<BundleDocument> ParseBundleJson(std::string_view json) {
  ASSIGN_OR_RETURN(Json root, ParseStrictJson(json, {.what = "bundle",
                                                     .bytes_max = BundleLimits::kJsonBytesMax,
                                                     .depth_max = BundleLimits::kJsonDepthMax}));
  if (!root.is_object()) {
    return InvalidArgument("bundle must be a JSON object");
  }
  auto keys = root.find("keys");
  if (keys == root.end() || !keys->is_array()) {
    return InvalidArgument("bundle must have an array \"keys\"");
  }
  if (keys->size() > BundleLimits::kKeysMax) {
    return ResourceExhausted("bundle has more than the limit of ", BundleLimits::kKeysMax, " keys");
  }
  BundleDocument document;
  ASSIGN_OR_RETURN(document.facts.sequence, ReadCount(root, "spiffe_sequence"));
  ASSIGN_OR_RETURN(uint64_t refresh_hint, ReadCount(root, "spiffe_refresh_hint"));
  if (refresh_hint > kRefreshHintSecondsMax) {
    return InvalidArgument("bundle member spiffe_refresh_hint is over the limit of ",
                           kRefreshHintSecondsMax, " seconds");
  }
  document.facts.refresh_hint = std::chrono::seconds(refresh_hint);
  for (size_t i = 0; i < keys->size(); ++i) {
    Status status = ReadAuthority((*keys)[i], document.authorities_der);
    if (!status.ok()) {
      return Annotate(status, Concat("bundle key ", i + 1));
    }
  }
  return document;
}

std::string PrintBundleJson(const BundleDocument& document) {
  Json keys = Json::array();
  for (const std::string& der : document.authorities_der) {
    X509Ptr certificate = DecodeCertificate(der);
    CHECK(certificate != nullptr);
    Json key = PublicKeyMembers(X509_get0_pubkey(certificate.get()));
    key["use"] = "x509-svid";
    key["x5c"] = Json::array({Base64Encode(der)});
    keys.push_back(std::move(key));
  }
  Json root = {{"keys", std::move(keys)}};
  // Both are left out when there is nothing to say, so that equal bundles have one spelling.
  if (document.facts.sequence != 0) {
    root["spiffe_sequence"] = document.facts.sequence;
  }
  if (document.facts.refresh_hint.count() != 0) {
    root["spiffe_refresh_hint"] = document.facts.refresh_hint.count();
  }
  return root.dump();
}

}  // namespace countersign::identity
