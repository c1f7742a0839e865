#include "identity/csr.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

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

// With exponent 1 the padded hash is its own signature: everybody can sign.
TEST(PrivateKeyTest, AnRsaKeyWhoseExponentProtectsNothingIsRefused) {
  PkeyPtr good(EVP_RSA_gen(2048));
  BIGNUM* raw = nullptr;
  ASSERT_EQ(EVP_PKEY_get_bn_param(good.get(), OSSL_PKEY_PARAM_RSA_N, &raw), 1);
  BignumPtr modulus(raw);
  for (const char* exponent : {"1", "2", "3", "10001", "10000000000000001"}) {
    raw = nullptr;
    ASSERT_GT(BN_hex2bn(&raw, exponent), 0);
    BignumPtr e(raw);
    OpenSslPtr<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
    ASSERT_EQ(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get()), 1);
    ASSERT_EQ(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()), 1);
    OpenSslPtr<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
    OpenSslPtr<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(
        EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
    EVP_PKEY* made = nullptr;
    ASSERT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
    ASSERT_EQ(EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()), 1);
    PkeyPtr key(made);
    std::string_view text = exponent;
    EXPECT_EQ(CheckKeyAccepted(key.get()).ok(), text == "3" || text == "10001") << exponent;
  }
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
