#include "base/crypto/ed25519.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/crypto/openssl.h"

namespace countersign {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;

}  // namespace

StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::Wrap(std::shared_ptr<evp_pkey_st> key) {
  std::string public_key(kKeyBytes, '\0');
  size_t size = public_key.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(public_key.data()),
                                  &size) != 1 ||
      size != kKeyBytes) {
    return OpenSslError("read ed25519 public key");
  }
  return Ed25519PrivateKey(std::move(key), std::move(public_key));
}

StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::Generate() {
  std::shared_ptr<EVP_PKEY> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
  if (key == nullptr) {
    return OpenSslError("generate ed25519 key");
  }
  return Wrap(std::move(key));
}

StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::FromPkcs8Pem(std::string_view pem) {
  BioPtr bio = MemoryBio(pem);
  // An empty password, so that an encrypted key fails and never asks on the terminal.
  char no_password[] = "";
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, no_password),
                                EVP_PKEY_free);
  if (key == nullptr) {
    return MalformedError("read ed25519 private key");
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    return InvalidArgument("private key is not an ed25519 key");
  }
  return Wrap(std::move(key));
}

StatusOr<std::string> Ed25519PrivateKey::ToPkcs8Pem() const {
  BioPtr bio(BIO_new(BIO_s_secmem()));
  if (bio == nullptr || PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0,
                                                      nullptr, nullptr) != 1) {
    return OpenSslError("write ed25519 private key");
  }
  return BioBytes(bio.get());
}

StatusOr<std::string> Ed25519PrivateKey::Sign(std::string_view message) const {
  DigestCtxPtr context(EVP_MD_CTX_new());
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                     AsBytes(message), message.size()) != 1) {
    return OpenSslError("sign with ed25519");
  }
  return signature;
}

bool Ed25519Verify(const Ed25519Signed& signed_message) {
  const auto& [public_key, message, signature] = signed_message;
  if (public_key.size() != kKeyBytes || signature.size() != kSignatureBytes) {
    return false;
  }
  PkeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, AsBytes(public_key),
                                          public_key.size()));
  DigestCtxPtr context(EVP_MD_CTX_new());
  bool good = key != nullptr && context != nullptr &&
              EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
              EVP_DigestVerify(context.get(), AsBytes(signature), signature.size(),
                               AsBytes(message), message.size()) == 1;
  ERR_clear_error();  // A wrong signature may leave a reason, and the answer is the reason.
  return good;
}

}  // namespace countersign
