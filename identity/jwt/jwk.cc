#include "identity/jwt/jwk.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <algorithm>
#include <array>

#include "base/crypto/base64.h"
#include "base/crypto/openssl.h"
#include "identity/jwt/jwk_reader.h"
#include "identity/jwt/limits.h"
#include "identity/key.h"

namespace countersign::identity {
namespace {

using ParamBuilderPtr = OpenSslPtr<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using ParamsPtr = OpenSslPtr<OSSL_PARAM, OSSL_PARAM_free>;
using ReadResult = StatusOr<std::variant<Jwk, IgnoredJwk>>;

ReadResult Ignore(std::string_view reason) {
  return std::variant<Jwk, IgnoredJwk>(IgnoredJwk{reason});
}

// ReadText gives a member's text, or "" when it is absent; a member of another type is an error.
StatusOr<std::string_view> ReadText(const Json& element, const char* name) {
  auto member = element.find(name);
  if (member == element.end()) {
    return std::string_view();
  }
  if (!member->is_string()) {
    return InvalidArgument("member ", name, " must be a string");
  }
  return std::string_view(member->get_ref<const std::string&>());
}

StatusOr<std::string> ReadBytes(const Json& element, const char* name) {
  ASSIGN_OR_RETURN(std::string_view text, ReadText(element, name));
  StatusOr<std::string> bytes = Base64UrlDecode(text);
  if (!bytes.ok()) {
    return Annotate(bytes.status(), Concat("member ", name));
  }
  if (bytes->empty()) {
    return InvalidArgument("member ", name, " is missing or empty");
  }
  return bytes;
}

// ReadNumber is ReadBytes for Base64urlUInt (RFC 7518 section 2), which has no leading zero.
StatusOr<BignumPtr> ReadNumber(const Json& element, const char* name) {
  ASSIGN_OR_RETURN(std::string bytes, ReadBytes(element, name));
  if (bytes.size() > KeyLimits::kRsaBitsMax / 8) {
    return ResourceExhausted("member ", name, " is larger than the limit of ",
                             KeyLimits::kRsaBitsMax, " bits");
  }
  BignumPtr number(BN_bin2bn(AsBytes(bytes), static_cast<int>(bytes.size()), nullptr));
  if (number == nullptr) {
    return OpenSslError("read number");
  }
  if (static_cast<size_t>(BN_num_bytes(number.get())) != bytes.size()) {
    return InvalidArgument("member ", name, " begins with a zero byte");
  }
  return number;
}

StatusOr<std::shared_ptr<EVP_PKEY>> MakeKey(const char* type, OSSL_PARAM_BLD* builder) {
  ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  PkeyCtxPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (params == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    return MalformedError("not a public key");
  }
  return std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free);
}

struct Curve {
  std::string_view name;
  KeyType type;
  size_t coordinate_bytes;
};
constexpr std::array<Curve, 3> kCurves = {
    {{"P-256", KeyType::kP256, 32}, {"P-384", KeyType::kP384, 48}, {"P-521", KeyType::kP521, 66}}};

// RFC 7518 6.2.1: x and y have the full size of the curve's coordinate.
StatusOr<std::shared_ptr<EVP_PKEY>> ReadPoint(const Json& element, const Curve& curve) {
  std::string point = "\x04";
  for (const char* name : {"x", "y"}) {
    ASSIGN_OR_RETURN(std::string bytes, ReadBytes(element, name));
    if (bytes.size() != curve.coordinate_bytes) {
      return InvalidArgument("member ", name, " has ", bytes.size(), " bytes; ", curve.name,
                             " takes ", curve.coordinate_bytes);
    }
    point += bytes;
  }
  ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.name.data(),
                                      curve.name.size()) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return OpenSslError("make EC key");
  }
  ASSIGN_OR_RETURN(std::shared_ptr<EVP_PKEY> key, MakeKey("EC", builder.get()));
  PkeyCtxPtr check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (check == nullptr || EVP_PKEY_public_check(check.get()) != 1) {
    return MalformedError("not a point of the curve");
  }
  return key;
}

StatusOr<std::shared_ptr<EVP_PKEY>> ReadRsa(const Json& element) {
  ASSIGN_OR_RETURN(BignumPtr modulus, ReadNumber(element, "n"));
  ASSIGN_OR_RETURN(BignumPtr exponent, ReadNumber(element, "e"));
  if (BN_is_odd(modulus.get()) == 0) {
    return InvalidArgument("member n is even");
  }
  ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get()) != 1) {
    return OpenSslError("make RSA key");
  }
  return MakeKey("RSA", builder.get());
}

// NoPrivateMembers looks for RFC 7518 6.2.2 and 6.3.2: whoever publishes one has published the key.
Status NoPrivateMembers(const Json& element) {
  for (const char* name : {"d", "p", "q", "dp", "dq", "qi", "oth"}) {
    if (element.contains(name)) {
      return InvalidArgument("has the private member ", name,
                             "; replace this key, its secret was published");
    }
  }
  return absl::OkStatus();
}

// WhyNotForVerifying gives "" for a key whose use, key_ops and alg fit the profile.
StatusOr<std::string_view> WhyNotForVerifying(const Json& element, JwkProfile profile) {
  ASSIGN_OR_RETURN(std::string_view use, ReadText(element, "use"));
  ASSIGN_OR_RETURN(std::string_view algorithm, ReadText(element, "alg"));
  bool is_svid = profile == JwkProfile::kJwtSvid;
  // SPIFFE bundle 4.2.2: use is required; RFC 7517 4.2: it is optional.
  bool use_fits = is_svid ? use == "jwt-svid" : use == "sig" || !element.contains("use");
  if (!use_fits) {
    return is_svid ? "its use is not jwt-svid" : "its use is not sig";
  }
  if (element.contains("alg") && !ParseJwsAlgorithm(algorithm).has_value()) {
    return "its alg is not RS, PS or ES with 256, 384 or 512";
  }
  if (auto operations = element.find("key_ops"); operations != element.end()) {
    if (!operations->is_array()) {
      return InvalidArgument("member key_ops must be an array of strings");
    }
    if (std::find(operations->begin(), operations->end(), Json("verify")) == operations->end()) {
      return "its key_ops do not hold verify";
    }
  }
  return "";
}

// ReadKeyMaterial fills type and key, or says why the key is passed over.
StatusOr<std::string_view> ReadKeyMaterial(const Json& element, Jwk& jwk) {
  if (element["kty"] == "RSA") {
    ASSIGN_OR_RETURN(jwk.key, ReadRsa(element));
    jwk.type = KeyType::kRsa;
    // RFC 7517 section 5: values out of the supported ranges are passed over.
    return CheckKeyAccepted(jwk.key.get()).ok() ? "" : "its RSA key is weak";
  }
  ASSIGN_OR_RETURN(std::string_view curve_name, ReadText(element, "crv"));
  for (const Curve& curve : kCurves) {
    if (curve.name == curve_name) {
      ASSIGN_OR_RETURN(jwk.key, ReadPoint(element, curve));
      jwk.type = curve.type;
      return "";
    }
  }
  return "its curve is not P-256, P-384 or P-521";
}

}  // namespace

ReadResult ReadJwk(const Json& element, JwkProfile profile) {
  if (!element.is_object()) {
    return InvalidArgument("it is not an object");
  }
  ASSIGN_OR_RETURN(std::string_view type, ReadText(element, "kty"));
  if (type != "RSA" && type != "EC") {
    return Ignore("its kty is neither RSA nor EC");
  }
  RETURN_IF_ERROR(NoPrivateMembers(element));
  ASSIGN_OR_RETURN(std::string_view reason, WhyNotForVerifying(element, profile));
  if (!reason.empty()) {
    return Ignore(reason);
  }
  ASSIGN_OR_RETURN(std::string_view kid, ReadText(element, "kid"));
  if (kid.size() > JwtLimits::kKeyIdBytesMax) {
    return ResourceExhausted("member kid is larger than the limit of ", JwtLimits::kKeyIdBytesMax,
                             " bytes");
  }
  if (kid.empty() && profile == JwkProfile::kJwtSvid) {
    return Ignore("it has no kid");
  }
  Jwk jwk{.kid = std::string(kid), .type = KeyType::kRsa, .only_for = {}, .key = nullptr};
  if (auto algorithm = element.find("alg"); algorithm != element.end()) {
    jwk.only_for = ParseJwsAlgorithm(algorithm->get_ref<const std::string&>());
  }
  ASSIGN_OR_RETURN(reason, ReadKeyMaterial(element, jwk));
  ERR_clear_error();
  if (!reason.empty()) {
    return Ignore(reason);
  }
  if (jwk.only_for.has_value() && !jwk.Fits(*jwk.only_for)) {
    return Ignore("its alg is for another kind of key");
  }
  return std::variant<Jwk, IgnoredJwk>(std::move(jwk));
}

}  // namespace countersign::identity
