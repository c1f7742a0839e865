#include "identity/jwt/jws.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>

#include "base/crypto/base64.h"
#include "base/crypto/openssl.h"
#include "identity/jwt/limits.h"

namespace countersign::identity {
namespace {

using EcdsaSigPtr = OpenSslPtr<ECDSA_SIG, ECDSA_SIG_free>;

char LowerCase(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool IsTypeAllowed(std::string_view type, TokenProfile profile) {
  if (profile == TokenProfile::kJwtSvid) {
    return type == "JWT" || type == "JOSE";
  }
  std::string lower(type);
  std::transform(lower.begin(), lower.end(), lower.begin(), LowerCase);
  // RFC 7515 4.1.9: "application/" may be left out.
  std::string_view name = lower;
  if (name.starts_with("application/")) {
    name.remove_prefix(std::string_view("application/").size());
  }
  return name == "jwt" || name == "jose" || name == "at+jwt";
}

std::optional<TokenError> ReadAlgorithm(const Json& header, Jws& jws) {
  auto member = header.find("alg");
  if (member == header.end() || !member->is_string()) {
    return TokenError::kMalformedHeader;
  }
  const auto& name = member->get_ref<const std::string&>();
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), LowerCase);
  if (lower == "none") {
    return TokenError::kAlgorithmNone;
  }
  if (lower.starts_with("hs")) {
    return TokenError::kSymmetricAlgorithm;
  }
  std::optional<JwsAlgorithm> algorithm = ParseJwsAlgorithm(name);
  if (!algorithm.has_value()) {
    return TokenError::kUnknownAlgorithm;
  }
  jws.algorithm = *algorithm;
  return std::nullopt;
}

// JWT-SVID section 2: "Only the header parameters described ... may be used". For other tokens the
// same: no parameter that points to a key, adds a rule (crit) or changes the signed bytes (b64).
std::optional<TokenError> ReadHeader(std::string_view bytes, TokenProfile profile, Jws& jws) {
  StatusOr<Json> header = ParseStrictJson(bytes, {.what = "header",
                                                  .bytes_max = JwtLimits::kHeaderBytesMax,
                                                  .depth_max = JwtLimits::kJsonDepthMax});
  if (!header.ok() || !header->is_object()) {
    return TokenError::kMalformedHeader;
  }
  for (const auto& [name, value] : header->items()) {
    if (name != "alg" && name != "kid" && name != "typ") {
      return TokenError::kForbiddenHeader;
    }
    if (!value.is_string()) {
      return TokenError::kMalformedHeader;
    }
  }
  if (auto type = header->find("typ");
      type != header->end() && !IsTypeAllowed(type->get_ref<const std::string&>(), profile)) {
    return TokenError::kWrongType;
  }
  if (auto kid = header->find("kid"); kid != header->end()) {
    if (kid->get_ref<const std::string&>().empty()) {
      return TokenError::kMalformedHeader;
    }
    jws.kid = kid->get<std::string>();
  }
  return ReadAlgorithm(*header, jws);
}

// RFC 7518 3.4: r and s as fixed-size big-endian numbers, one after the other; OpenSSL takes DER.
std::string DerOfRawSignature(std::string_view raw) {
  size_t half = raw.size() / 2;
  EcdsaSigPtr signature(ECDSA_SIG_new());
  BignumPtr r(BN_bin2bn(AsBytes(raw), static_cast<int>(half), nullptr));
  BignumPtr s(BN_bin2bn(AsBytes(raw.substr(half)), static_cast<int>(half), nullptr));
  if (signature == nullptr || r == nullptr || s == nullptr ||
      ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) {
    return {};
  }
  (void)r.release();  // The signature owns both now.
  (void)s.release();
  unsigned char* der = nullptr;
  int size = i2d_ECDSA_SIG(signature.get(), &der);
  OpenSslBytesPtr owner(der);
  return size > 0 ? std::string(reinterpret_cast<char*>(der), static_cast<size_t>(size))
                  : std::string();
}

bool SetPadding(EVP_PKEY_CTX* context, JwsPadding padding) {
  switch (padding) {
    case JwsPadding::kNone:
      return true;
    case JwsPadding::kPkcs1:
      return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    case JwsPadding::kPss:
      // RFC 7518 3.5: MGF1 with the same hash, and a salt as long as the hash.
      return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  return false;
}

std::optional<TokenError> VerifySignature(const Jws& jws, const Jwk& key) {
  const JwsAlgorithmFacts& facts = FactsOf(jws.algorithm);
  size_t size = facts.coordinate_bytes != 0 ? 2 * facts.coordinate_bytes
                                            : static_cast<size_t>(EVP_PKEY_get_size(key.key.get()));
  if (jws.signature.size() != size) {
    return TokenError::kBadSignature;
  }
  std::string signature =
      facts.coordinate_bytes != 0 ? DerOfRawSignature(jws.signature) : jws.signature;
  DigestCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  bool is_ready = !signature.empty() && context != nullptr &&
                  EVP_DigestVerifyInit_ex(context.get(), &key_context, facts.digest, nullptr,
                                          nullptr, key.key.get(), nullptr) == 1 &&
                  SetPadding(key_context, facts.padding);
  int verdict = is_ready ? EVP_DigestVerify(context.get(), AsBytes(signature), signature.size(),
                                            AsBytes(jws.signing_input), jws.signing_input.size())
                         : -1;
  ERR_clear_error();
  if (!is_ready) {
    return TokenError::kInternal;
  }
  return verdict == 1 ? std::nullopt : std::optional(TokenError::kBadSignature);
}

}  // namespace

std::optional<TokenError> ParseJws(std::string_view token, TokenProfile profile, Jws& jws) {
  if (token.size() > JwtLimits::kTokenBytesMax) {
    return TokenError::kTokenTooLarge;
  }
  if (std::count(token.begin(), token.end(), '.') != 2) {
    return TokenError::kNotCompactJws;
  }
  size_t first = token.find('.');
  size_t second = token.rfind('.');
  std::array<std::string_view, 3> parts = {token.substr(0, first),
                                           token.substr(first + 1, second - first - 1),
                                           token.substr(second + 1)};
  std::array<std::string, 3> bytes;
  for (size_t i = 0; i < parts.size(); ++i) {
    StatusOr<std::string> decoded = Base64UrlDecode(parts[i]);
    if (!decoded.ok()) {
      return TokenError::kBadBase64;
    }
    bytes[i] = *std::move(decoded);
  }
  if (std::optional<TokenError> error = ReadHeader(bytes[0], profile, jws)) {
    return error;
  }
  // An unsigned token says so in alg, which was named first; here is one that lost its signature or
  // whose content travels apart (RFC 7515 appendix F).
  if (bytes[1].empty() || bytes[2].empty()) {
    return TokenError::kNotCompactJws;
  }
  StatusOr<Json> claims = ParseStrictJson(bytes[1], {.what = "claims",
                                                     .bytes_max = JwtLimits::kTokenBytesMax,
                                                     .depth_max = JwtLimits::kJsonDepthMax});
  if (!claims.ok() || !claims->is_object()) {
    return TokenError::kMalformedClaims;
  }
  jws.claims = *std::move(claims);
  jws.signing_input = token.substr(0, second);
  jws.signature = std::move(bytes[2]);
  return std::nullopt;
}

std::optional<TokenError> VerifyJws(const Jws& jws, const Jwks& keys) {
  if (keys.keys().empty()) {
    return TokenError::kNoKeys;
  }
  const Jwk* key = jws.kid.has_value() ? keys.Find(*jws.kid) : keys.FindOnly(jws.algorithm);
  if (key == nullptr) {
    return jws.kid.has_value() ? TokenError::kUnknownKeyId : TokenError::kNoKeyId;
  }
  if (!key->Fits(jws.algorithm)) {
    return TokenError::kKeyDoesNotFit;
  }
  return VerifySignature(jws, *key);
}

}  // namespace countersign::identity
