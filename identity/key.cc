#include "identity/key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>

#include "base/crypto/openssl.h"

namespace countersign::identity {
namespace {

StatusOr<std::string> TakeBytes(int size, unsigned char* raw, std::string_view what) {
  OpenSslBytesPtr bytes(raw);
  if (size <= 0) {
    return OpenSslError(what);
  }
  return std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
}

Status CheckRsa(evp_pkey_st* key) {
  int bits = EVP_PKEY_get_bits(key);
  if (bits < KeyLimits::kRsaBitsMin || bits > KeyLimits::kRsaBitsMax) {
    return InvalidArgument("RSA key of ", bits, " bits; use ", KeyLimits::kRsaBitsMin, " to ",
                           KeyLimits::kRsaBitsMax);
  }
  BIGNUM* raw = nullptr;
  bool known = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &raw) == 1;
  BignumPtr exponent(raw);
  // With exponent 1 anybody signs, an even one is no key, and a long one costs as much as signing.
  if (!known || BN_is_one(exponent.get()) != 0 || BN_is_odd(exponent.get()) == 0 ||
      BN_num_bits(exponent.get()) > KeyLimits::kRsaExponentBitsMax) {
    ERR_clear_error();
    return InvalidArgument("RSA key with an exponent that is even, 1 or over ",
                           KeyLimits::kRsaExponentBitsMax, " bits");
  }
  return absl::OkStatus();
}

Status CheckCurve(evp_pkey_st* key) {
  // RFC 5480 2.1.1: only named curves. Explicit parameters may spell a known curve with another
  // base point, for which anybody can compute a private key.
  int is_explicit = 1;
  if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit) !=
          1 ||
      is_explicit != 0) {
    ERR_clear_error();
    return InvalidArgument("EC key with explicit curve parameters");
  }
  std::array<char, 64> name{};
  size_t size = 0;
  if (EVP_PKEY_get_group_name(key, name.data(), name.size(), &size) != 1) {
    return MalformedError("EC key without a named curve");
  }
  int curve = OBJ_txt2nid(name.data());
  if (curve != NID_X9_62_prime256v1 && curve != NID_secp384r1) {
    return InvalidArgument("EC key on curve ", Quoted(name.data()), "; use P-256 or P-384");
  }
  return absl::OkStatus();
}

}  // namespace

Status CheckKeyAccepted(evp_pkey_st* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      return CheckRsa(key);
    case EVP_PKEY_EC:
      return CheckCurve(key);
    default:
      return InvalidArgument("key is neither EC nor RSA");
  }
}

StatusOr<PrivateKey> PrivateKey::GenerateP256() {
  std::shared_ptr<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  if (key == nullptr) {
    return OpenSslError("generate P-256 key");
  }
  return PrivateKey(std::move(key));
}

StatusOr<PrivateKey> PrivateKey::FromPkcs8Der(std::string_view der) {
  if (der.size() > KeyLimits::kEncodedBytesMax) {
    return ResourceExhausted("private key is larger than the limit of ",
                             KeyLimits::kEncodedBytesMax, " bytes");
  }
  const unsigned char* at = AsBytes(der);
  OpenSslPtr<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(
      d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, static_cast<long>(der.size())));
  if (info == nullptr || at != AsBytes(der) + der.size()) {
    return MalformedError("private key is not PKCS#8");
  }
  std::shared_ptr<EVP_PKEY> key(EVP_PKCS82PKEY(info.get()), EVP_PKEY_free);
  if (key == nullptr) {
    return MalformedError("read private key");
  }
  RETURN_IF_ERROR(CheckKeyAccepted(key.get()));
  return PrivateKey(std::move(key));
}

StatusOr<PrivateKey> PrivateKey::FromPem(std::string_view pem) {
  BioPtr bio = MemoryBio(pem);
  // An empty password, so that an encrypted key fails and never asks on the terminal.
  char no_password[] = "";
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_password),
                                EVP_PKEY_free);
  if (key == nullptr) {
    return MalformedError("read private key from PEM");
  }
  ERR_clear_error();
  RETURN_IF_ERROR(CheckKeyAccepted(key.get()));
  return PrivateKey(std::move(key));
}

StatusOr<std::string> PrivateKey::ToPkcs8Der() const {
  OpenSslPtr<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(key_.get()));
  if (info == nullptr) {
    return OpenSslError("write private key");
  }
  unsigned char* raw = nullptr;
  int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &raw);
  return TakeBytes(size, raw, "write private key");
}

StatusOr<std::string> PrivateKey::ToPkcs8Pem() const {
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0,
                                                      nullptr, nullptr) != 1) {
    return OpenSslError("write private key");
  }
  return BioBytes(bio.get());
}

StatusOr<std::string> PrivateKey::PublicKeyDer() const {
  unsigned char* raw = nullptr;
  int size = i2d_PUBKEY(key_.get(), &raw);
  return TakeBytes(size, raw, "write public key");
}

StatusOr<std::string> MakeCsr(const PrivateKey& key) {
  X509ReqPtr request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.native()) != 1 ||
      X509_REQ_sign(request.get(), key.native(), EVP_sha256()) <= 0) {
    return OpenSslError("make certificate request");
  }
  unsigned char* raw = nullptr;
  int size = i2d_X509_REQ(request.get(), &raw);
  return TakeBytes(size, raw, "make certificate request");
}

}  // namespace countersign::identity
