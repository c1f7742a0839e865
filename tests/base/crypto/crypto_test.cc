#include <gtest/gtest.h>
#include <openssl/err.h>

#include <set>

#include "base/crypto/base64.h"
#include "base/crypto/ed25519.h"
#include "base/crypto/hash.h"
#include "base/crypto/openssl.h"
#include "base/crypto/random.h"

namespace countersign {
namespace {

TEST(HashTest, Sha256GivesTheStandardsExamples) {
  EXPECT_EQ(HexLower(Sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexLower(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(HashTest, PartsHashLikeTheWhole) {
  Sha256Hasher hasher;
  hasher.Update("a");
  hasher.Update("");
  hasher.Update("bc");
  EXPECT_EQ(hasher.Finish(), Sha256("abc"));
}

TEST(HexTest, BytesComeBack) {
  std::string bytes("\x00\x7f\xff", 3);
  EXPECT_EQ(HexLower(bytes), "007fff");
  EXPECT_EQ(*HexDecode("007fFF"), bytes);
  for (const char* text : {"0", "0g", " 00", "0x00", "00 "}) {
    EXPECT_FALSE(HexDecode(text).ok()) << text;
  }
}

TEST(Base64Test, TheStandardsExamplesHold) {
  const std::pair<const char*, const char*> kRows[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : kRows) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(*Base64Decode(text), bytes);
  }
  EXPECT_EQ(Base64Encode("\xfb\xff"), "+/8=");
  EXPECT_EQ(Base64UrlEncode("\xfb\xff"), "-_8");
  EXPECT_EQ(*Base64UrlDecode("-_8"), "\xfb\xff");
}

TEST(Base64Test, EveryByteStringHasOneText) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "Zm9v\n",
                           " Zm9v", "-_8=", "Zm=v", "Zg==Zg=="}) {
    EXPECT_FALSE(Base64Decode(text).ok()) << text;
  }
  for (const char* text : {"Z", "+/8", "Zg==", "Zh"}) {
    EXPECT_FALSE(Base64UrlDecode(text).ok()) << text;
  }
}

TEST(RandomTest, BytesDoNotRepeat) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(seen.insert(RandomBytes(16)).second);
  }
  EXPECT_EQ(RandomHex(16).size(), 32u);
  EXPECT_EQ(RandomBytes(0), "");
}

TEST(Ed25519Test, ASignatureHoldsForItsKeyAndMessageOnly) {
  Ed25519PrivateKey key = *Ed25519PrivateKey::Generate();
  std::string signature = *key.Sign("checkpoint");
  EXPECT_EQ(key.public_key().size(), 32u);
  EXPECT_EQ(signature.size(), 64u);
  EXPECT_TRUE(Ed25519Verify(key.public_key(), "checkpoint", signature));
  EXPECT_FALSE(Ed25519Verify(key.public_key(), "checkpoinT", signature));
  EXPECT_FALSE(Ed25519Verify(Ed25519PrivateKey::Generate()->public_key(), "checkpoint", signature));
  std::string changed = signature;
  changed[0] = static_cast<char>(changed[0] ^ 1);
  EXPECT_FALSE(Ed25519Verify(key.public_key(), "checkpoint", changed));
  EXPECT_FALSE(Ed25519Verify(key.public_key(), "checkpoint", signature.substr(1)));
  EXPECT_FALSE(Ed25519Verify("short", "checkpoint", signature));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(Ed25519Test, AKeyIsWrittenAndReadAgain) {
  Ed25519PrivateKey key = *Ed25519PrivateKey::Generate();
  StatusOr<Ed25519PrivateKey> again = Ed25519PrivateKey::FromPkcs8Pem(*key.ToPkcs8Pem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key(), key.public_key());
  EXPECT_EQ(*again->Sign("m"), *key.Sign("m"));  // RFC 8032 signatures are deterministic.
  EXPECT_FALSE(Ed25519PrivateKey::FromPkcs8Pem("junk").ok());
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST(OpenSslErrorTest, TheQueueIsDrainedIntoTheMessage) {
  const unsigned char* at = AsBytes("junk");
  EXPECT_EQ(d2i_X509(nullptr, &at, 4), nullptr);
  EXPECT_NE(ERR_peek_error(), 0u);
  Status status = MalformedError("read certificate");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status).find("read certificate: "), 0u);
  EXPECT_EQ(ERR_peek_error(), 0u);
  EXPECT_EQ(Message(OpenSslError("x")), "x");
}

}  // namespace
}  // namespace countersign
