#include "identity/trust_bundle.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/crypto/base64.h"
#include "base/crypto/hash.h"
#include "identity/peer_verifier.h"
#include "tests/support/test_ca.h"

namespace countersign::identity {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

TrustDomain Shop() { return *TrustDomain::Parse("shop.example"); }

class TrustBundleTest : public testing::Test {
 protected:
  Json Key() const {
    return {{"kty", "EC"}, {"use", "x509-svid"}, {"x5c", {Base64Encode(ca_.root_der())}}};
  }
  static StatusOr<TrustBundle> Parse(const Json& json) {
    return TrustBundle::ParseJson(Shop(), json.dump());
  }
  // CountOf is how many authorities a bundle of this one key has; -1 when it is refused.
  static int CountOf(const Json& key) {
    StatusOr<TrustBundle> bundle = Parse({{"keys", Json::array({key})}});
    return bundle.ok() ? static_cast<int>(bundle->authorities_der().size()) : -1;
  }

  TestCa ca_;
};

TEST_F(TrustBundleTest, WhatIsWrittenIsReadAgain) {
  TestCertificateSpec rsa = ca_.CaSpec("rsa");
  rsa.key = TestKey(TestKey::Kind::kRsa2048);
  TestCertificateSpec p384 = ca_.CaSpec("p384");
  p384.key = TestKey(TestKey::Kind::kP384);
  std::vector<std::string> authorities = {ca_.root_der(), TestCa("shop.example", rsa).root_der(),
                                          TestCa("shop.example", p384).root_der()};
  StatusOr<TrustBundle> bundle =
      TrustBundle::FromAuthorities(Shop(), authorities, {.sequence = 7, .refresh_hint = 60s});
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  StatusOr<TrustBundle> again = TrustBundle::ParseJson(Shop(), bundle->ToJson());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->authorities_der(), authorities);
  EXPECT_EQ(again->sequence(), 7u);
  EXPECT_EQ(again->refresh_hint(), 60s);
  EXPECT_EQ(again->ToJson(), bundle->ToJson());
  EXPECT_EQ(bundle->Sha256Pin(), HexLower(Sha256(bundle->ToJson())));
  StatusOr<TrustBundle> from_pem = TrustBundle::FromPem(Shop(), bundle->AuthoritiesPem());
  ASSERT_TRUE(from_pem.ok()) << from_pem.status();
  EXPECT_EQ(from_pem->authorities_der(), authorities);
}

// Point 12, as a producer.
TEST_F(TrustBundleTest, AWrittenKeyHasUseOneCertificateAndNoKeyId) {
  Json json = Json::parse(ca_.Bundle()->ToJson());
  ASSERT_EQ(json["keys"].size(), 1u);
  const Json& key = json["keys"][0];
  EXPECT_EQ(key["use"], "x509-svid");
  EXPECT_EQ(key["kty"], "EC");
  EXPECT_EQ(key["crv"], "P-256");
  EXPECT_EQ(Base64UrlDecode(key["x"].get<std::string>())->size(), 32u);
  EXPECT_EQ(Base64UrlDecode(key["y"].get<std::string>())->size(), 32u);
  EXPECT_FALSE(key.contains("kid"));
  ASSERT_EQ(key["x5c"].size(), 1u);
  EXPECT_EQ(*Base64Decode(key["x5c"][0].get<std::string>()), ca_.root_der());
}

// Point 12, as a consumer.
TEST_F(TrustBundleTest, AKeyWithoutCertificateIsIgnoredAndOfSeveralTheFirstCounts) {
  Json key = Key();
  EXPECT_EQ(CountOf(key), 1);
  key["x5c"].push_back("never read");
  EXPECT_EQ(CountOf(key), 1);
  key["x5c"] = Json::array();
  EXPECT_EQ(CountOf(key), 0);
  key.erase("x5c");
  EXPECT_EQ(CountOf(key), 0);
}

TEST_F(TrustBundleTest, ACertificateThatIsNoAuthorityRefusesTheBundle) {
  Json key = Key();
  key["x5c"] = {Base64UrlEncode(ca_.root_der())};  // The alphabet for URLs is not x5c's.
  EXPECT_EQ(CountOf(key), -1);
  key["x5c"] = {Base64Encode("junk")};
  EXPECT_EQ(CountOf(key), -1);
  key["x5c"] = {Base64Encode(ca_.Sign(ca_.LeafSpec("/web")).der[0])};
  EXPECT_EQ(CountOf(key), -1);
  key["x5c"] = {Base64Encode(ca_.root_der() + ca_.root_der())};
  EXPECT_EQ(CountOf(key), -1);
  key["x5c"] = {7};
  EXPECT_EQ(CountOf(key), -1);
  key["x5c"] = "text";
  EXPECT_EQ(CountOf(key), -1);
}

// Points 8 and 9: an authority keeps the profile of a signing certificate.
TEST_F(TrustBundleTest, AnAuthorityOutsideTheProfileRefusesTheBundle) {
  struct Row {
    const char* name;
    std::function<void(TestCertificateSpec&)> change;
    const char* says;
  };
  auto extension = [](const char* name, const char* value) {
    return [=](TestCertificateSpec& spec) { spec.extensions[name] = value; };
  };
  for (const Row& row : std::initializer_list<Row>{
           {"as_it_is", [](TestCertificateSpec&) {}, nullptr},
           {"with_a_path",
            [](TestCertificateSpec& spec) { spec.uri_sans = {"spiffe://shop.example/ca"}; },
            "issuer_has_path"},
           {"no_ca", extension("basicConstraints", "critical,CA:FALSE"), "issuer_not_ca"},
           {"no_constraints", extension("basicConstraints", ""), "issuer_not_ca"},
           {"may_not_sign", extension("keyUsage", "critical,cRLSign"), "issuer_may_not_sign"},
           {"no_usage", extension("keyUsage", ""), "key_usage_missing"},
           {"usage_not_critical", extension("keyUsage", "keyCertSign"),
            "key_usage_not_critical"}}) {
    TestCertificateSpec spec = ca_.CaSpec("root");
    row.change(spec);
    Status status =
        TrustBundle::FromAuthorities(Shop(), {TestCa("shop.example", spec).root_der()}).status();
    EXPECT_EQ(status.ok(), row.says == nullptr) << row.name << ": " << status;
    if (row.says != nullptr) {
      EXPECT_NE(Message(status).find(row.says), std::string_view::npos) << status;
    }
  }
}

// Point 17: the members of the document.
TEST_F(TrustBundleTest, SequenceAndHintAreIntegersOf64Bits) {
  StatusOr<TrustBundle> bundle =
      TrustBundle::ParseJson(Shop(), R"({"keys":[],"spiffe_sequence":18446744073709551615})");
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->sequence(), UINT64_MAX);
  for (const char* value : {"18446744073709551616", "-1", "1.0", "1e3", "\"1\"", "true", "null"}) {
    for (const char* member : {"spiffe_sequence", "spiffe_refresh_hint"}) {
      std::string json = Concat(R"({"keys":[],")", member, "\":", value, "}");
      EXPECT_FALSE(TrustBundle::ParseJson(Shop(), json).ok()) << json;
    }
  }
  EXPECT_FALSE(Parse({{"keys", Json::array()}, {"spiffe_refresh_hint", 4'000'000'000u}}).ok());
}

TEST_F(TrustBundleTest, KeysMustBeThereAndMayBeEmpty) {
  StatusOr<TrustBundle> empty = Parse({{"keys", Json::array()}});
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->authorities_der().empty());
  EXPECT_FALSE(Parse(Json::object()).ok());
  EXPECT_FALSE(Parse({{"keys", Json::object()}}).ok());
  EXPECT_FALSE(Parse({{"keys", nullptr}}).ok());
  EXPECT_FALSE(Parse(Json::array()).ok());
  EXPECT_FALSE(TrustBundle::ParseJson(Shop(), "").ok());
  EXPECT_FALSE(TrustBundle::ParseJson(Shop(), R"({"keys":[]} x)").ok());
  EXPECT_FALSE(TrustBundle::ParseJson(Shop(), R"({"keys":["\xff"]})").ok());
}

TEST_F(TrustBundleTest, UnknownMembersAreIgnored) {
  Json key = Key();
  key["kid"] = "k";
  key["alg"] = "ES256";
  EXPECT_EQ(CountOf(key), 1);
  EXPECT_TRUE(Parse({{"keys", Json::array()}, {"later", {{"a", 1}}}}).ok());
}

// Point 18: kty and use decide, with case, and spoil their own element only.
TEST_F(TrustBundleTest, UnknownKtyOrUseIgnoresThatKeyOnly) {
  for (const char* member : {"kty", "use"}) {
    for (const Json& value : {Json("other"), Json("X509-SVID"), Json("ec"), Json(1), Json()}) {
      Json strange = Key();
      strange[member] = value;
      strange["x5c"] = {"not even base64"};
      StatusOr<TrustBundle> bundle = Parse({{"keys", Json::array({strange, Key()})}});
      ASSERT_TRUE(bundle.ok()) << bundle.status();
      EXPECT_EQ(bundle->authorities_der().size(), 1u);
    }
    Json without = Key();
    without.erase(member);
    EXPECT_EQ(CountOf(without), 0);
  }
  EXPECT_EQ(CountOf("text"), -1);
}

TEST_F(TrustBundleTest, DuplicateMembersAreRefusedAtAnyDepth) {
  for (const char* json :
       {R"({"keys":[],"keys":[]})", R"({"keys":[],"spiffe_sequence":1,"spiffe_sequence":2})",
        R"({"keys":[{"kty":"EC","kty":"RSA"}]})", R"({"keys":[],"x":{"y":{"z":1,"z":1}}})",
        R"({"keys":[],"\u006beys":[]})"}) {
    StatusOr<TrustBundle> bundle = TrustBundle::ParseJson(Shop(), json);
    ASSERT_FALSE(bundle.ok()) << json;
    EXPECT_NE(Message(bundle.status()).find("twice"), std::string_view::npos) << bundle.status();
  }
  EXPECT_TRUE(TrustBundle::ParseJson(Shop(), R"({"keys":[],"a":{"x":1},"b":{"x":1}})").ok());
}

TEST_F(TrustBundleTest, LimitsAreNamed) {
  auto code = [](const std::string& json) {
    return TrustBundle::ParseJson(Shop(), json).status().code();
  };
  EXPECT_EQ(code(std::string(BundleLimits::kJsonBytesMax + 1, ' ')),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(
      code(Concat(R"({"keys":[],"x":)", std::string(100'000, '['), std::string(100'000, ']'), "}")),
      StatusCode::kResourceExhausted);
  Json keys = Json::array();
  for (size_t i = 0; i <= BundleLimits::kKeysMax; ++i) {
    keys.push_back(Json::object());
  }
  EXPECT_EQ(code(Json{{"keys", keys}}.dump()), StatusCode::kResourceExhausted);
  std::vector<std::string> authorities;
  for (size_t i = 0; i <= BundleLimits::kAuthoritiesMax; ++i) {
    authorities.push_back(TestCa().root_der());
  }
  EXPECT_EQ(TrustBundle::FromAuthorities(Shop(), authorities).status().code(),
            StatusCode::kResourceExhausted);
}

TEST_F(TrustBundleTest, AnAuthorityTwiceCountsOnce) {
  StatusOr<TrustBundle> bundle =
      TrustBundle::FromAuthorities(Shop(), {ca_.root_der(), ca_.root_der()});
  ASSERT_TRUE(bundle.ok());
  EXPECT_EQ(bundle->ToJson(), ca_.Bundle()->ToJson());
}

TEST_F(TrustBundleTest, AnAuthorityThatNamesTwoSignatureAlgorithmsIsRefused) {
  std::string root = ca_.root_der();
  std::string ecdsa_sha256 = "\x2a\x86\x48\xce\x3d\x04\x03\x02";
  size_t at = root.find(ecdsa_sha256);
  ASSERT_NE(at, std::string::npos);
  root[at + ecdsa_sha256.size() - 1] = 3;  // SHA-384 inside, SHA-256 outside.
  EXPECT_FALSE(TrustBundle::FromAuthorities(Shop(), {root}).ok());
}

// An authority below another one may stand in a bundle without the one above it.
TEST_F(TrustBundleTest, AnAuthorityNeedNotBeSelfSigned) {
  TestCa middle(ca_, ca_.CaSpec("middle"));
  TestChain chain = middle.Sign(middle.LeafSpec("/web"));
  auto bundle =
      std::make_shared<const TrustBundle>(*TrustBundle::FromAuthorities(Shop(), {chain.der[1]}));
  PeerVerifier verifier(std::make_shared<const BundleSet>(*BundleSet::Create({bundle})));
  VerifyResult result = verifier.Verify(chain.views(), PeerRole::kClient, ca_.now());
  EXPECT_TRUE(result.ok()) << VerifyErrorName(result.error());
  TestChain above = ca_.Sign(ca_.LeafSpec("/web"));
  EXPECT_FALSE(verifier.Verify(above.views(), PeerRole::kClient, ca_.now()).ok());
}

TEST_F(TrustBundleTest, AuthoritiesOneAfterAnotherAreRead) {
  std::string two = ca_.root_der() + TestCa().root_der();
  EXPECT_EQ(TrustBundle::FromConcatenatedDer(Shop(), two)->authorities_der().size(), 2u);
  EXPECT_FALSE(TrustBundle::FromConcatenatedDer(Shop(), two + "x").ok());
}

TEST_F(TrustBundleTest, AWeakAuthorityIsRefused) {
  TestCertificateSpec weak = ca_.CaSpec("weak");
  weak.key = TestKey(TestKey::Kind::kRsa1024);
  EXPECT_FALSE(
      TrustBundle::FromAuthorities(Shop(), {TestCa("shop.example", weak).root_der()}).ok());
}

// Point 24 in part: bundles of different domains stay apart.
TEST_F(TrustBundleTest, ASetHasOneBundleADomain) {
  TestCa other("other.example");
  std::shared_ptr<const BundleSet> set = ca_.Bundles({&other});
  EXPECT_EQ(set->all().size(), 2u);
  EXPECT_EQ(set->Find("shop.example")->authorities_der().front(), ca_.root_der());
  EXPECT_EQ(set->Find("nobody.example"), nullptr);
  EXPECT_EQ(BundleSet::Create({ca_.Bundle(), ca_.Bundle()}).status().code(),
            StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace countersign::identity
