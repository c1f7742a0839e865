#include "identity/peer_verifier.h"

#include <gtest/gtest.h>

#include <set>

#include "base/crypto/hash.h"
#include "tests/support/test_ca.h"

namespace countersign::identity {
namespace {

using namespace std::chrono_literals;

const WallTime kNow = *ParseTime("2027-03-01T12:00:00Z");

class PeerVerifierTest : public testing::Test {
 protected:
  // Verdict is "ok" or the name of the broken rule, in both roles, which must agree.
  static std::string Verdict(const PeerVerifier& verifier, const std::vector<std::string>& chain,
                             WallTime now = kNow) {
    std::vector<std::string_view> views(chain.begin(), chain.end());
    VerifyResult client = verifier.Verify(views, PeerRole::kClient, now);
    VerifyResult server = verifier.Verify(views, PeerRole::kServer, now);
    EXPECT_EQ(client.ok(), server.ok());
    if (client.ok()) {
      return "ok";
    }
    EXPECT_EQ(client.error(), server.error());
    return std::string(VerifyErrorName(client.error()));
  }
  std::string VerdictOn(const TestCertificateSpec& leaf) const {
    return Verdict(verifier_, ca_.Sign(leaf).der);
  }
  // VerdictWithout changes one extension of a good leaf.
  std::string VerdictWith(const std::string& extension, const std::string& value) const {
    TestCertificateSpec leaf = ca_.LeafSpec("/web");
    leaf.extensions[extension] = value;
    return VerdictOn(leaf);
  }

  TestCa ca_{"shop.example", kNow};
  PeerVerifier verifier_{ca_.Bundles()};
};

TEST_F(PeerVerifierTest, AValidChainGivesTheVerifiedPeer) {
  TestChain chain = ca_.Sign(ca_.LeafSpec("/ns/prod/sa/web"));
  VerifyResult result = verifier_.Verify(chain.views(), PeerRole::kClient, kNow);
  ASSERT_TRUE(result.ok()) << VerifyErrorName(result.error());
  EXPECT_EQ(result.peer().id().str(), "spiffe://shop.example/ns/prod/sa/web");
  EXPECT_EQ(result.peer().chain_sha256(), HexLower(Sha256(chain.der[0])));
  EXPECT_EQ(result.peer().serial(), chain.Svid()->serial());
  EXPECT_EQ(result.peer().not_after(), kNow + 1h);
}

// Point 7: exactly one URI SAN; other kinds of SAN, any number.
TEST_F(PeerVerifierTest, RejectsLeafWithTwoUriSans) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.uri_sans.push_back("spiffe://shop.example/orders");
  EXPECT_EQ(VerdictOn(leaf), "many_uri_sans");
  leaf.uri_sans[1] = "https://shop.example/";
  EXPECT_EQ(VerdictOn(leaf), "many_uri_sans");
  leaf.uri_sans[1] = leaf.uri_sans[0];
  EXPECT_EQ(VerdictOn(leaf), "many_uri_sans");
}

TEST_F(PeerVerifierTest, RejectsLeafWithoutUriSanWhateverItsOtherNamesSay) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.uri_sans.clear();
  leaf.dns_sans = {"spiffe://shop.example/web"};
  leaf.common_name = "spiffe://shop.example/web";
  EXPECT_EQ(VerdictOn(leaf), "no_uri_san");
  leaf.dns_sans.clear();
  EXPECT_EQ(VerdictOn(leaf), "no_uri_san");
}

TEST_F(PeerVerifierTest, AcceptsDnsSansBesideTheOneUri) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.dns_sans = {"web.shop.example", "www.shop.example"};
  EXPECT_EQ(VerdictOn(leaf), "ok");
}

TEST_F(PeerVerifierTest, RejectsUriSanThatIsNoSpiffeId) {
  for (std::string uri :
       {std::string("https://shop.example/web"), std::string("spiffe://shop.example/web\0x", 27),
        std::string("spiffe://shop.example\0.evil.example/web", 39),
        std::string("SPIFFE://shop.example/web"), std::string("spiffe://Shop.example/web"),
        std::string("spiffe://shop.example/web/"), std::string("spiffe://shop.example//web"),
        std::string("spiffe://shop.example/a/../web"), std::string("spiffe://shop.example/w%65b"),
        std::string("spiffe://shop.example:443/web"), std::string("spiffe://u@shop.example/web"),
        std::string("spiffe://shop.example/web?x=1"), std::string("spiffe://shop.example/web#x"),
        std::string("spiffe:///web"), std::string("spiffe://"), std::string(""),
        "spiffe://shop.example/" + std::string(2048, 'a')}) {
    TestCertificateSpec leaf = ca_.LeafSpec("/web");
    leaf.uri_sans = {uri};
    EXPECT_EQ(VerdictOn(leaf), "bad_spiffe_id") << Quoted(uri);
  }
}

TEST_F(PeerVerifierTest, RejectsASecondSanExtension) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.extensions["subjectAltName"] = "critical,URI:spiffe://shop.example/orders";
  EXPECT_EQ(VerdictOn(leaf), "malformed_extension");
}

// Point 8: a leaf's ID has a path, a signing certificate's has none.
TEST_F(PeerVerifierTest, RejectsLeafWhoseIdIsTheTrustDomain) {
  EXPECT_EQ(VerdictOn(ca_.LeafSpec("")), "no_path");
  EXPECT_EQ(VerdictOn(ca_.LeafSpec("/a")), "ok");
}

TEST_F(PeerVerifierTest, RejectsIssuerWhoseIdHasAPath) {
  TestCertificateSpec issuer = ca_.CaSpec("intermediate");
  issuer.uri_sans = {"spiffe://shop.example/issuer"};
  TestCa below(ca_, issuer);
  EXPECT_EQ(Verdict(verifier_, below.Sign(below.LeafSpec("/web")).der), "issuer_has_path");
  issuer.uri_sans = {};
  TestCa nameless(ca_, issuer);
  EXPECT_EQ(Verdict(verifier_, nameless.Sign(nameless.LeafSpec("/web")).der), "ok");
}

TEST_F(PeerVerifierTest, HoldsAnIssuersSpiffeIdToTheRulesOfAnSvidWhereverItStands) {
  struct Row {
    const char* name;
    std::vector<std::string> uris;
    const char* verdict;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"own", {"spiffe://shop.example"}, "ok"},
           {"of_another_kind", {"https://ca.example/", "http://ca.example/crl"}, "ok"},
           {"twice", {"spiffe://shop.example", "spiffe://shop.example"}, "bad_spiffe_id"},
           {"two", {"spiffe://shop.example", "spiffe://other.example"}, "bad_spiffe_id"},
           {"behind_another_kind",
            {"https://ca.example/", "spiffe://other.example"},
            "bad_spiffe_id"},
           {"before_another_kind",
            {"spiffe://shop.example", "https://ca.example/"},
            "bad_spiffe_id"},
           {"upper_case", {"SPIFFE://shop.example"}, "bad_spiffe_id"},
           {"malformed", {"spiffe://shop.example:443"}, "bad_spiffe_id"},
           {"slash", {"spiffe://shop.example/"}, "bad_spiffe_id"}}) {
    TestCertificateSpec issuer = ca_.CaSpec("intermediate");
    issuer.uri_sans = row.uris;
    TestCa below(ca_, issuer);
    EXPECT_EQ(Verdict(verifier_, below.Sign(below.LeafSpec("/web")).der), row.verdict) << row.name;
  }
}

TEST_F(PeerVerifierTest, RejectsAnEmptySubjectWhoseSanIsNotCritical) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.san_critical = false;
  EXPECT_EQ(VerdictOn(leaf), "san_not_critical");
  leaf.common_name = "web";
  EXPECT_EQ(VerdictOn(leaf), "ok");
}

// Point 9: what a leaf and a signing certificate may do.
TEST_F(PeerVerifierTest, RejectsACaAsLeaf) {
  EXPECT_EQ(VerdictWith("basicConstraints", "critical,CA:TRUE"), "leaf_is_ca");
  TestCertificateSpec ca_as_leaf = ca_.CaSpec("intermediate");
  ca_as_leaf.uri_sans = {"spiffe://shop.example/web"};
  EXPECT_EQ(VerdictOn(ca_as_leaf), "leaf_is_ca");
}

TEST_F(PeerVerifierTest, AcceptsALeafWithoutBasicConstraints) {
  EXPECT_EQ(VerdictWith("basicConstraints", ""), "ok");
  EXPECT_EQ(VerdictWith("basicConstraints", "CA:FALSE"), "ok");
}

TEST_F(PeerVerifierTest, HoldsTheLeafsKeyUsageToTheProfile) {
  struct Row {
    const char* value;
    const char* verdict;
  };
  for (const Row& row :
       std::initializer_list<Row>{{"critical,digitalSignature", "ok"},
                                  {"critical,digitalSignature,keyEncipherment,keyAgreement", "ok"},
                                  {"critical,digitalSignature,keyCertSign", "leaf_may_sign"},
                                  {"critical,digitalSignature,cRLSign", "leaf_may_sign"},
                                  {"critical,keyEncipherment", "no_digital_signature"},
                                  {"digitalSignature", "key_usage_not_critical"},
                                  {"", "key_usage_missing"}}) {
    EXPECT_EQ(VerdictWith("keyUsage", row.value), row.verdict) << row.value;
  }
}

TEST_F(PeerVerifierTest, HoldsIssuersToTheProfile) {
  struct Row {
    const char* extension;
    const char* value;
    const char* verdict;
  };
  for (const Row& row :
       std::initializer_list<Row>{{"keyUsage", "critical,keyCertSign", "ok"},
                                  {"keyUsage", "critical,keyCertSign,digitalSignature", "ok"},
                                  {"keyUsage", "keyCertSign", "key_usage_not_critical"},
                                  {"keyUsage", "", "key_usage_missing"},
                                  {"keyUsage", "critical,cRLSign", "issuer_may_not_sign"},
                                  {"keyUsage", "critical,digitalSignature", "issuer_may_not_sign"},
                                  {"basicConstraints", "critical,CA:FALSE", "issuer_not_ca"},
                                  {"basicConstraints", "", "issuer_not_ca"}}) {
    TestCertificateSpec issuer = ca_.CaSpec("intermediate");
    issuer.extensions[row.extension] = row.value;
    TestCa below(ca_, issuer);
    EXPECT_EQ(Verdict(verifier_, below.Sign(below.LeafSpec("/web")).der), row.verdict)
        << row.extension << "=" << row.value;
  }
}

TEST_F(PeerVerifierTest, RejectsALeafSignedByALeaf) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  TestCa as_issuer(ca_, leaf);
  EXPECT_EQ(Verdict(verifier_, as_issuer.Sign(as_issuer.LeafSpec("/orders")).der), "issuer_not_ca");
}

// Point 10: extended key usage, when present, has both.
TEST_F(PeerVerifierTest, HoldsExtendedKeyUsageToBothRoles) {
  EXPECT_EQ(VerdictWith("extendedKeyUsage", ""), "ok");
  EXPECT_EQ(VerdictWith("extendedKeyUsage", "serverAuth,clientAuth,codeSigning"), "ok");
  EXPECT_EQ(VerdictWith("extendedKeyUsage", "serverAuth"), "extended_key_usage");
  EXPECT_EQ(VerdictWith("extendedKeyUsage", "clientAuth"), "extended_key_usage");
  EXPECT_EQ(VerdictWith("extendedKeyUsage", "anyExtendedKeyUsage"), "extended_key_usage");
  EXPECT_EQ(VerdictWith("extendedKeyUsage", "codeSigning"), "extended_key_usage");
}

// Point 11 and R10: only the bundle of the leaf's own trust domain counts.
TEST_F(PeerVerifierTest, AnAuthorityOfOneDomainNeverVouchesForAnother) {
  TestCa other("other.example", kNow);
  PeerVerifier both(ca_.Bundles({&other}));
  EXPECT_EQ(Verdict(both, other.Sign(other.LeafSpec("/web")).der), "ok");
  TestCertificateSpec foreign = other.LeafSpec("/web");
  foreign.uri_sans = {"spiffe://shop.example/web"};
  EXPECT_EQ(Verdict(both, other.Sign(foreign).der), "untrusted");
  EXPECT_EQ(Verdict(verifier_, other.Sign(other.LeafSpec("/web")).der), "unknown_trust_domain");
}

TEST_F(PeerVerifierTest, AnIntermediateOfAnotherDomainIsRefusedUnderASharedRoot) {
  TestCertificateSpec issuer = ca_.CaSpec("intermediate of other.example");
  issuer.uri_sans = {"spiffe://other.example"};
  TestCa below(ca_, issuer);
  EXPECT_EQ(Verdict(verifier_, below.Sign(below.LeafSpec("/web")).der),
            "issuer_of_other_trust_domain");
}

TEST_F(PeerVerifierTest, ARootOfTheSameNameWithAnotherKeyIsRefused) {
  TestCa impostor("shop.example", kNow);
  std::string verdict = Verdict(verifier_, impostor.Sign(impostor.LeafSpec("/web")).der);
  EXPECT_EQ(verdict, "untrusted");
  // Without key identifiers the impostor's leaf reaches the true root and fails on the signature.
  TestCertificateSpec leaf = impostor.LeafSpec("/web");
  leaf.extensions["authorityKeyIdentifier"] = "";
  EXPECT_EQ(Verdict(verifier_, impostor.Sign(leaf).der), "bad_signature");
}

TEST_F(PeerVerifierTest, AnEmptyBundleTrustsNobody) {
  auto empty =
      std::make_shared<const TrustBundle>(*TrustBundle::FromAuthorities(ca_.trust_domain(), {}));
  PeerVerifier verifier(std::make_shared<const BundleSet>(*BundleSet::Create({empty})));
  EXPECT_EQ(Verdict(verifier, ca_.Sign(ca_.LeafSpec("/web")).der), "empty_bundle");
  PeerVerifier nobody(std::make_shared<const BundleSet>());
  EXPECT_EQ(Verdict(nobody, ca_.Sign(ca_.LeafSpec("/web")).der), "unknown_trust_domain");
}

TEST_F(PeerVerifierTest, AChangedByteOfTheLeafBreaksItsSignature) {
  std::vector<std::string> chain = ca_.Sign(ca_.LeafSpec("/web")).der;
  size_t at = chain[0].find("/web");
  ASSERT_NE(at, std::string::npos);
  chain[0].replace(at, 4, "/wed");
  EXPECT_EQ(Verdict(verifier_, chain), "bad_signature");
}

TEST_F(PeerVerifierTest, ValidityIsJudgedAtTheGivenTime) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");  // From 10 s before now, for an hour.
  std::vector<std::string> chain = ca_.Sign(leaf).der;
  EXPECT_EQ(Verdict(verifier_, chain, kNow - 11s), "not_yet_valid");
  EXPECT_EQ(Verdict(verifier_, chain, kNow - 9s), "ok");
  EXPECT_EQ(Verdict(verifier_, chain, kNow + 1h - 1s), "ok");
  EXPECT_EQ(Verdict(verifier_, chain, kNow + 1h), "expired");
  EXPECT_EQ(Verdict(verifier_, chain, kNow + 1h + 1s), "expired");
}

TEST_F(PeerVerifierTest, AnExpiredIssuerEndsThePathAndThePeerEndsWithIt) {
  TestCertificateSpec issuer = ca_.CaSpec("intermediate");
  issuer.not_after = kNow + 10min;
  TestCa below(ca_, issuer);
  TestChain chain = below.Sign(below.LeafSpec("/web"));
  VerifyResult result = verifier_.Verify(chain.views(), PeerRole::kServer, kNow);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.peer().not_after(), kNow + 10min);
  EXPECT_EQ(Verdict(verifier_, chain.der, kNow + 11min), "expired");
}

// R11: the path and its limits.
TEST_F(PeerVerifierTest, UnrelatedCertificatesAreIgnored) {
  TestCa other("other.example", kNow);
  std::vector<std::string> chain = ca_.Sign(ca_.LeafSpec("/web")).der;
  chain.push_back(other.root_der());
  chain.push_back(other.Sign(other.LeafSpec("/x")).der[0]);
  chain.push_back(ca_.root_der());
  EXPECT_EQ(Verdict(verifier_, chain), "ok");
}

TEST_F(PeerVerifierTest, AMissingIntermediateLeavesNoPath) {
  TestCa below(ca_, ca_.CaSpec("intermediate"));
  std::vector<std::string> chain = below.Sign(below.LeafSpec("/web")).der;
  EXPECT_EQ(Verdict(verifier_, chain), "ok");
  chain.pop_back();
  EXPECT_EQ(Verdict(verifier_, chain), "untrusted");
}

TEST_F(PeerVerifierTest, APresentedRootThatTheBundleLacksIsNotTrusted) {
  TestCa impostor("shop.example", kNow);
  std::vector<std::string> chain = impostor.Sign(impostor.LeafSpec("/web")).der;
  chain.push_back(impostor.root_der());
  EXPECT_EQ(Verdict(verifier_, chain), "untrusted");
}

TEST_F(PeerVerifierTest, EightPresentedCertificatesAreTheLimit) {
  std::unique_ptr<TestCa> at = std::make_unique<TestCa>(ca_, ca_.CaSpec("level 1"));
  for (int level = 2; level <= 7; ++level) {
    at = std::make_unique<TestCa>(*at, at->CaSpec(Concat("level ", level)));
  }
  std::vector<std::string> chain = at->Sign(at->LeafSpec("/web")).der;
  ASSERT_EQ(chain.size(), 8u);
  EXPECT_EQ(Verdict(verifier_, chain), "ok");
  chain.push_back(ca_.root_der());
  EXPECT_EQ(Verdict(verifier_, chain), "too_many_certificates");
  EXPECT_EQ(Verdict(verifier_, {}), "no_certificate");
}

TEST_F(PeerVerifierTest, ChainBytesAreLimited) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.extensions["nsComment"] = std::string(60'000, 'x');
  EXPECT_EQ(VerdictOn(leaf), "ok");
  leaf.extensions["nsComment"] = std::string(65'536, 'x');
  EXPECT_EQ(VerdictOn(leaf), "chain_too_large");
}

TEST_F(PeerVerifierTest, APathLengthIsRespected) {
  TestCertificateSpec narrow = ca_.CaSpec("narrow");
  narrow.extensions["basicConstraints"] = "critical,CA:TRUE,pathlen:0";
  TestCa first(ca_, narrow);
  EXPECT_EQ(Verdict(verifier_, first.Sign(first.LeafSpec("/web")).der), "ok");
  TestCa second(first, first.CaSpec("below the narrow one"));
  EXPECT_EQ(Verdict(verifier_, second.Sign(second.LeafSpec("/web")).der), "path_too_long");
}

TEST_F(PeerVerifierTest, NameConstraintsAreRespected) {
  struct Row {
    const char* constraint;
    const char* verdict;
  };
  for (const Row& row :
       std::initializer_list<Row>{{"critical,permitted;URI:shop.example", "ok"},
                                  {"critical,permitted;URI:other.example", "name_constraint"},
                                  {"permitted;URI:other.example", "name_constraint"},
                                  {"critical,excluded;URI:shop.example", "name_constraint"},
                                  {"critical,excluded;URI:other.example", "ok"},
                                  {"critical,permitted;DNS:shop.example", "name_constraint"}}) {
    TestCertificateSpec issuer = ca_.CaSpec("constrained");
    issuer.uri_sans = {};
    issuer.extensions["nameConstraints"] = row.constraint;
    TestCa below(ca_, issuer);
    TestCertificateSpec leaf = below.LeafSpec("/web");
    leaf.dns_sans = {"web.elsewhere.example"};
    EXPECT_EQ(Verdict(verifier_, below.Sign(leaf).der), row.verdict) << row.constraint;
  }
}

TEST_F(PeerVerifierTest, AnUnknownCriticalExtensionIsRefused) {
  EXPECT_EQ(VerdictWith("1.2.3.4.5", "critical,DER:0500"), "unknown_critical_extension");
  EXPECT_EQ(VerdictWith("1.2.3.4.5", "DER:0500"), "ok");
}

TEST_F(PeerVerifierTest, AnExtensionTwiceIsRefused) {
  for (const char* name : {"keyUsage", "basicConstraints", "extendedKeyUsage",
                           "authorityKeyIdentifier", "nsComment"}) {
    TestCertificateSpec leaf = ca_.LeafSpec("/web");
    leaf.extensions.emplace("nsComment", "x");
    leaf.duplicated_extension = name;
    EXPECT_EQ(VerdictOn(leaf), "malformed_extension") << name;
  }
}

TEST_F(PeerVerifierTest, KeysAreP256P384OrRsaFrom2048) {
  struct Row {
    TestKey::Kind kind;
    const char* verdict;
  };
  for (const Row& row :
       {Row{TestKey::Kind::kP256, "ok"}, Row{TestKey::Kind::kP384, "ok"},
        Row{TestKey::Kind::kRsa2048, "ok"}, Row{TestKey::Kind::kP521, "weak_key"},
        Row{TestKey::Kind::kRsa1024, "weak_key"}, Row{TestKey::Kind::kEd25519, "weak_key"}}) {
    TestCertificateSpec leaf = ca_.LeafSpec("/web");
    leaf.key = TestKey(row.kind);
    EXPECT_EQ(VerdictOn(leaf), row.verdict) << static_cast<int>(row.kind);
    TestCertificateSpec issuer = ca_.CaSpec("intermediate");
    issuer.key = TestKey(row.kind);
    TestCa below(ca_, issuer);
    TestCertificateSpec under = below.LeafSpec("/web");
    under.digest = row.kind == TestKey::Kind::kEd25519 ? "" : "SHA256";
    std::string verdict = Verdict(verifier_, below.Sign(under).der);
    EXPECT_EQ(verdict == "ok", std::string_view(row.verdict) == "ok") << verdict;
  }
}

TEST_F(PeerVerifierTest, Sha1SignaturesAreRefused) {
  TestCertificateSpec leaf = ca_.LeafSpec("/web");
  leaf.digest = "SHA1";
  EXPECT_EQ(VerdictOn(leaf), "weak_signature");
  leaf.digest = "SHA224";
  EXPECT_EQ(VerdictOn(leaf), "weak_signature");
  leaf.digest = "SHA512";
  EXPECT_EQ(VerdictOn(leaf), "ok");
}

TEST_F(PeerVerifierTest, OnlyWholeDerCertificatesAreRead) {
  std::string good = ca_.Sign(ca_.LeafSpec("/web")).der[0];
  EXPECT_EQ(Verdict(verifier_, {""}), "malformed_certificate");
  EXPECT_EQ(Verdict(verifier_, {good + "x"}), "malformed_certificate");
  EXPECT_EQ(Verdict(verifier_, {good.substr(0, good.size() - 1)}), "malformed_certificate");
  EXPECT_EQ(Verdict(verifier_, {good, "junk"}), "malformed_certificate");
  // The same certificate in BER: an indefinite length instead of a definite one.
  std::string ber = "\x30\x80" + good.substr(4) + std::string(2, '\0');
  EXPECT_EQ(Verdict(verifier_, {ber}), "malformed_certificate");
}

TEST_F(PeerVerifierTest, ARefusedPeersClaimIsKeptForTheLog) {
  TestCa other("other.example", kNow);
  TestChain chain = other.Sign(other.LeafSpec("/web"));
  VerifyResult result = verifier_.Verify(chain.views(), PeerRole::kClient, kNow);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.claimed_id(), "spiffe://other.example/web");
}

TEST(VerifyErrorTest, EachRuleHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(VerifyError::kInternal); ++i) {
    EXPECT_TRUE(names.insert(VerifyErrorName(static_cast<VerifyError>(i))).second) << i;
  }
}

}  // namespace
}  // namespace countersign::identity
