#include "tests/support/test_issuer.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "base/crypto/base64.h"
#include "base/crypto/openssl.h"

namespace countersign {
namespace {

using identity::JwsAlgorithm;
using Json = nlohmann::json;

TestKey::Kind KindFor(JwsAlgorithm algorithm) {
  switch (algorithm) {
    case JwsAlgorithm::kEs256:
      return TestKey::Kind::kP256;
    case JwsAlgorithm::kEs384:
      return TestKey::Kind::kP384;
    case JwsAlgorithm::kEs512:
      return TestKey::Kind::kP521;
    default:
      return TestKey::Kind::kRsa2048;
  }
}

std::string NumberText(EVP_PKEY* key, const char* parameter, size_t width) {
  BIGNUM* raw = nullptr;
  CHECK(EVP_PKEY_get_bn_param(key, parameter, &raw) == 1);
  BignumPtr number(raw);
  std::string bytes(std::max(width, static_cast<size_t>(BN_num_bytes(raw))), '\0');
  CHECK(BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(bytes.data()),
                     static_cast<int>(bytes.size())) >= 0);
  return Base64UrlEncode(bytes);
}

size_t CoordinateBytes(EVP_PKEY* key) {
  return (static_cast<size_t>(EVP_PKEY_get_bits(key)) + 7) / 8;
}

std::string RawOfDer(const std::string& der, size_t coordinate_bytes) {
  const unsigned char* at = AsBytes(der);
  OpenSslPtr<ECDSA_SIG, ECDSA_SIG_free> signature(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  CHECK(signature != nullptr);
  std::string raw(2 * coordinate_bytes, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  int width = static_cast<int>(coordinate_bytes);
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), out, width) == width);
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), out + coordinate_bytes, width) == width);
  return raw;
}

const EVP_MD* DigestOf(std::string_view algorithm_name) {
  std::string_view bits = algorithm_name.substr(2);
  return bits == "256" ? EVP_sha256() : bits == "384" ? EVP_sha384() : EVP_sha512();
}

}  // namespace

TestIssuer::TestIssuer(JwsAlgorithm algorithm)
    : TestIssuer(algorithm, TestKey(KindFor(algorithm))) {}

Json TestIssuer::Jwk(std::string_view use) const {
  Json jwk = {{"kid", "key-1"}};
  if (!use.empty()) {
    jwk["use"] = use;
  }
  EVP_PKEY* key = key_.native();
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    jwk["kty"] = "RSA";
    jwk["n"] = NumberText(key, OSSL_PKEY_PARAM_RSA_N, 0);
    jwk["e"] = NumberText(key, OSSL_PKEY_PARAM_RSA_E, 0);
    return jwk;
  }
  int bits = EVP_PKEY_get_bits(key);
  jwk["kty"] = "EC";
  jwk["crv"] = bits == 256 ? "P-256" : bits == 384 ? "P-384" : "P-521";
  jwk["x"] = NumberText(key, OSSL_PKEY_PARAM_EC_PUB_X, CoordinateBytes(key));
  jwk["y"] = NumberText(key, OSSL_PKEY_PARAM_EC_PUB_Y, CoordinateBytes(key));
  return jwk;
}

std::string TestIssuer::JwksText(std::string_view use) const {
  return Json{{"keys", Json::array({Jwk(use)})}}.dump();
}

std::shared_ptr<const identity::Jwks> TestIssuer::Keys() const {
  auto keys = identity::Jwks::Parse(JwksText(), identity::JwkProfile::kSignature);
  CHECK(keys.ok());
  return std::make_shared<const identity::Jwks>(*std::move(keys));
}

std::shared_ptr<const identity::Jwks> TestIssuer::SvidKeys() const {
  auto keys = identity::Jwks::Parse(JwksText("jwt-svid"), identity::JwkProfile::kJwtSvid);
  CHECK(keys.ok());
  return std::make_shared<const identity::Jwks>(*std::move(keys));
}

Json TestIssuer::Header() const {
  return {{"alg", identity::JwsAlgorithmName(algorithm_)}, {"kid", "key-1"}, {"typ", "JWT"}};
}

std::string TestIssuer::SignText(std::string_view header, std::string_view claims) const {
  std::string input = Concat(Base64UrlEncode(header), ".", Base64UrlEncode(claims));
  return Concat(input, ".", Base64UrlEncode(SignatureOf(input)));
}

std::string TestIssuer::SignatureOf(std::string_view signing_input, int salt_bytes) const {
  std::string_view name = identity::JwsAlgorithmName(algorithm_);
  DigestCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  CHECK(EVP_DigestSignInit(context.get(), &key_context, DigestOf(name), nullptr, key_.native()) ==
        1);
  if (name.starts_with("PS")) {
    CHECK(EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1);
    CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(
              key_context, salt_bytes < 0 ? RSA_PSS_SALTLEN_DIGEST : salt_bytes) == 1);
  }
  size_t size = 0;
  CHECK(EVP_DigestSign(context.get(), nullptr, &size, AsBytes(signing_input),
                       signing_input.size()) == 1);
  std::string signature(size, '\0');
  CHECK(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                       AsBytes(signing_input), signing_input.size()) == 1);
  signature.resize(size);
  return EVP_PKEY_get_base_id(key_.native()) == EVP_PKEY_EC
             ? RawOfDer(signature, CoordinateBytes(key_.native()))
             : signature;
}

}  // namespace countersign
