#include "identity/x509_svid.h"

#include <gtest/gtest.h>

#include "tests/support/test_ca.h"

namespace countersign::identity {
namespace {

using namespace std::chrono_literals;

const WallTime kNow = *ParseTime("2027-03-01T12:00:00Z");

class X509SvidTest : public testing::Test {
 protected:
  TestCa ca_{"shop.example", kNow};
};

TEST_F(X509SvidTest, FactsAreThoseOfTheLeaf) {
  TestCa below(ca_, ca_.CaSpec("intermediate"));
  TestChain chain = below.Sign(below.LeafSpec("/web"));
  StatusOr<X509Svid> svid = X509Svid::Create(chain.der, chain.key.Pkcs8Der());
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id().str(), "spiffe://shop.example/web");
  EXPECT_EQ(svid->not_before(), kNow - 10s);
  EXPECT_EQ(svid->not_after(), kNow + 1h);
  EXPECT_EQ(svid->serial().size(), 30u);
  EXPECT_EQ(svid->ChainPem(), chain.ChainPem());
  StatusOr<X509Svid> again = X509Svid::FromPem(svid->ChainPem(), svid->KeyPem());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->chain_der(), svid->chain_der());
  EXPECT_EQ(again->key_pkcs8_der(), svid->key_pkcs8_der());
}

TEST_F(X509SvidTest, CertificatesOneAfterAnotherAreRead) {
  TestCa below(ca_, ca_.CaSpec("intermediate"));
  TestChain chain = below.Sign(below.LeafSpec("/web"));
  std::string joined = chain.der[0] + chain.der[1];
  StatusOr<X509Svid> svid = X509Svid::FromConcatenatedDer(joined, chain.key.Pkcs8Der());
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->chain_der(), chain.der);
  for (const std::string& bad :
       {std::string(), joined + "x", joined.substr(1), joined.substr(0, joined.size() - 1)}) {
    EXPECT_FALSE(X509Svid::FromConcatenatedDer(bad, chain.key.Pkcs8Der()).ok());
  }
}

TEST_F(X509SvidTest, TheEndIsTheEarliestOfTheChain) {
  TestCertificateSpec issuer = ca_.CaSpec("intermediate");
  issuer.not_after = kNow + 5min;
  TestCa below(ca_, issuer);
  EXPECT_EQ(below.Svid("/web")->not_after(), kNow + 5min);
}

TEST_F(X509SvidTest, AnotherKeyIsRefused) {
  TestChain chain = ca_.Sign(ca_.LeafSpec("/web"));
  EXPECT_FALSE(X509Svid::Create(chain.der, TestKey().Pkcs8Der()).ok());
  EXPECT_FALSE(X509Svid::Create(chain.der, "junk").ok());
  EXPECT_FALSE(X509Svid::Create(chain.der, chain.key.Pkcs8Der() + "x").ok());
  EXPECT_FALSE(X509Svid::Create({}, chain.key.Pkcs8Der()).ok());
}

TEST_F(X509SvidTest, ALeafOutsideTheProfileIsRefused) {
  std::vector<TestCertificateSpec> bad(5, ca_.LeafSpec("/web"));
  bad[0].uri_sans.push_back("spiffe://shop.example/orders");
  bad[1].uri_sans = {"spiffe://shop.example"};
  bad[2].extensions["basicConstraints"] = "critical,CA:TRUE";
  bad[3].extensions["keyUsage"] = "critical,keyAgreement";
  bad[4].extensions["extendedKeyUsage"] = "serverAuth";
  for (const TestCertificateSpec& spec : bad) {
    TestChain chain = ca_.Sign(spec);
    EXPECT_FALSE(X509Svid::Create(chain.der, chain.key.Pkcs8Der()).ok());
  }
}

TEST_F(X509SvidTest, AnIntermediateThatMayNotSignIsRefused) {
  TestChain chain = ca_.Sign(ca_.LeafSpec("/web"));
  chain.der.push_back(ca_.Sign(ca_.LeafSpec("/orders")).der[0]);
  EXPECT_FALSE(X509Svid::Create(chain.der, chain.key.Pkcs8Der()).ok());
  chain.der.assign(9, ca_.root_der());
  EXPECT_EQ(X509Svid::Create(chain.der, chain.key.Pkcs8Der()).status().code(),
            StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace countersign::identity
