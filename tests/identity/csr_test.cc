#include "identity/csr.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>

#include "base/crypto/openssl.h"
#include "identity/key.h"
#include "tests/support/test_ca.h"

namespace countersign::identity {
namespace {

// RequestBy signs a request for the public key of `subject` with `signer`.
std::string RequestBy(const TestKey& subject, const TestKey& signer) {
  X509ReqPtr request(X509_REQ_new());
  CHECK(X509_REQ_set_pubkey(request.get(), subject.native()) == 1);
  const EVP_MD* digest =
      EVP_PKEY_get_base_id(signer.native()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  CHECK(X509_REQ_sign(request.get(), signer.native(), digest) > 0);
  unsigned char* raw = nullptr;
  int size = i2d_X509_REQ(request.get(), &raw);
  OpenSslBytesPtr bytes(raw);
  return std::string(reinterpret_cast<char*>(raw), static_cast<size_t>(size));
}

TEST(CsrTest, ARequestGivesThePublicKey) {
  PrivateKey key = *PrivateKey::GenerateP256();
  StatusOr<CertificateRequest> request = ParseCsr(*MakeCsr(key));
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->public_key_der(), *key.PublicKeyDer());
}

TEST(CsrTest, ARequestSignedByAnotherKeyIsRefused) {
  TestKey victim;
  EXPECT_TRUE(ParseCsr(RequestBy(victim, victim)).ok());
  EXPECT_EQ(ParseCsr(RequestBy(victim, TestKey())).status().code(), StatusCode::kInvalidArgument);
}

TEST(CsrTest, WeakKeysAreRefused) {
  for (TestKey::Kind kind :
       {TestKey::Kind::kRsa1024, TestKey::Kind::kP521, TestKey::Kind::kEd25519}) {
    TestKey key(kind);
    EXPECT_FALSE(ParseCsr(RequestBy(key, key)).ok()) << static_cast<int>(kind);
  }
  for (TestKey::Kind kind : {TestKey::Kind::kRsa2048, TestKey::Kind::kP384, TestKey::Kind::kP256}) {
    TestKey key(kind);
    EXPECT_TRUE(ParseCsr(RequestBy(key, key)).ok()) << static_cast<int>(kind);
  }
}

TEST(CsrTest, MalformedRequestsAreRefused) {
  std::string good = *MakeCsr(*PrivateKey::GenerateP256());
  EXPECT_FALSE(ParseCsr("").ok());
  EXPECT_FALSE(ParseCsr("junk").ok());
  EXPECT_FALSE(ParseCsr(good + "x").ok());
  EXPECT_FALSE(ParseCsr(good.substr(1)).ok());
  EXPECT_EQ(ParseCsr(std::string(CsrLimits::kBytesMax + 1, 'x')).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(PrivateKeyTest, AKeyIsWrittenAndReadAgain) {
  PrivateKey key = *PrivateKey::GenerateP256();
  StatusOr<PrivateKey> from_der = PrivateKey::FromPkcs8Der(*key.ToPkcs8Der());
  ASSERT_TRUE(from_der.ok()) << from_der.status();
  EXPECT_EQ(*from_der->PublicKeyDer(), *key.PublicKeyDer());
  StatusOr<PrivateKey> from_pem = PrivateKey::FromPem(*key.ToPkcs8Pem());
  ASSERT_TRUE(from_pem.ok()) << from_pem.status();
  EXPECT_EQ(*from_pem->ToPkcs8Der(), *key.ToPkcs8Der());
}

TEST(PrivateKeyTest, BadKeysAreRefused) {
  EXPECT_FALSE(PrivateKey::FromPem("").ok());
  EXPECT_FALSE(PrivateKey::FromPkcs8Der("").ok());
  EXPECT_FALSE(PrivateKey::FromPkcs8Der(TestKey(TestKey::Kind::kRsa1024).Pkcs8Der()).ok());
  EXPECT_FALSE(PrivateKey::FromPkcs8Der(TestKey(TestKey::Kind::kP521).Pkcs8Der()).ok());
  EXPECT_FALSE(PrivateKey::FromPkcs8Der(std::string(KeyLimits::kEncodedBytesMax + 1, 'x')).ok());
}

TEST(PrivateKeyTest, AnEcKeyWithExplicitParametersIsRefused) {
  PkeyPtr key(EVP_EC_gen("P-256"));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(key.get(), OSSL_PKEY_PARAM_EC_ENCODING,
                                           OSSL_PKEY_EC_ENCODING_EXPLICIT),
            1);
  unsigned char* raw = nullptr;
  OpenSslPtr<PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free> info(EVP_PKEY2PKCS8(key.get()));
  int size = i2d_PKCS8_PRIV_KEY_INFO(info.get(), &raw);
  ASSERT_GT(size, 200);  // A named curve takes 138 bytes.
  OpenSslBytesPtr bytes(raw);
  EXPECT_FALSE(
      PrivateKey::FromPkcs8Der({reinterpret_cast<char*>(raw), static_cast<size_t>(size)}).ok());
}

}  // namespace
}  // namespace countersign::identity
