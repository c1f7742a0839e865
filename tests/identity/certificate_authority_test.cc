#include "identity/certificate_authority.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "base/crypto/openssl.h"
#include "base/file.h"
#include "identity/certificate.h"
#include "identity/peer_verifier.h"
#include "identity/svid_profile.h"
#include "identity/x509_svid.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"

namespace countersign::identity {
namespace {

using namespace std::chrono_literals;

const WallTime kNow = *ParseTime("2027-03-01T12:00:00Z");

TrustDomain Shop() { return *TrustDomain::Parse("shop.example"); }

CertificateAuthority SelfSigned(std::chrono::nanoseconds ttl = 168h) {
  return *CertificateAuthority::CreateSelfSigned(Shop(), ttl, kNow);
}

LeafRequest RequestFor(const PrivateKey& key, std::string_view id = "spiffe://shop.example/web") {
  return LeafRequest{*SpiffeId::Parse(id), *key.PublicKeyDer(), 1h, {}};
}

VerifyResult Verify(const CertificateAuthority& authority, const std::vector<std::string>& chain,
                    WallTime now = kNow) {
  auto bundle = std::make_shared<const TrustBundle>(
      *TrustBundle::FromAuthorities(authority.trust_domain(), authority.authorities_der()));
  PeerVerifier verifier(std::make_shared<const BundleSet>(*BundleSet::Create({bundle})));
  std::vector<std::string_view> views(chain.begin(), chain.end());
  return verifier.Verify(views, PeerRole::kClient, now);
}

bool IsCritical(X509* certificate, int nid) {
  int at = X509_get_ext_by_NID(certificate, nid, -1);
  return at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(certificate, at)) == 1;
}

bool Has(X509* certificate, int nid) { return X509_get_ext_by_NID(certificate, nid, -1) >= 0; }

// Point 6: the signing authority has an SVID itself, the trust domain's, inside what is signed.
TEST(CertificateAuthorityTest, TheRootIsTheTrustDomainsOwnSvid) {
  CertificateAuthority authority = SelfSigned();
  X509Ptr root = DecodeCertificate(authority.certificate_der());
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(ReadLeafName(root.get()).id->str(), "spiffe://shop.example");
  EXPECT_FALSE(CheckIssuer(root.get(), nullptr).has_value());
  EXPECT_EQ(X509_get_key_usage(root.get()), unsigned{KU_KEY_CERT_SIGN | KU_CRL_SIGN});
  EXPECT_TRUE(IsCritical(root.get(), NID_key_usage));
  EXPECT_TRUE(IsCritical(root.get(), NID_basic_constraints));
  EXPECT_EQ(X509_get_pathlen(root.get()), 0);
  EXPECT_TRUE(Has(root.get(), NID_subject_key_identifier));
  EXPECT_TRUE(Has(root.get(), NID_authority_key_identifier));
  EXPECT_FALSE(IsCritical(root.get(), NID_subject_alt_name));  // The subject is not empty.
  EXPECT_EQ(authority.not_before(), kNow - 10s);
  EXPECT_EQ(authority.not_after(), kNow + 168h);
}

TEST(CertificateAuthorityTest, TwoRootsOfOneDomainHaveDifferentSubjects) {
  X509Ptr first = DecodeCertificate(SelfSigned().certificate_der());
  X509Ptr second = DecodeCertificate(SelfSigned().certificate_der());
  EXPECT_NE(X509_NAME_cmp(X509_get_subject_name(first.get()), X509_get_subject_name(second.get())),
            0);
}

// Points 7 to 10, as this system writes them.
TEST(CertificateAuthorityTest, ALeafKeepsTheProfile) {
  CertificateAuthority authority = SelfSigned();
  PrivateKey key = *PrivateKey::GenerateP256();
  LeafRequest request = RequestFor(key);
  request.dns_names = {"web.shop.example"};
  StatusOr<std::vector<std::string>> chain = authority.SignLeaf(request, kNow);
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ(chain->size(), 1u);  // The root stays in the bundle.
  X509Ptr leaf = DecodeCertificate(chain->front());
  ASSERT_NE(leaf, nullptr);
  EXPECT_EQ(ReadLeafName(leaf.get()).id->str(), "spiffe://shop.example/web");
  EXPECT_FALSE(CheckLeaf(leaf.get()).has_value());
  EXPECT_EQ(X509_NAME_entry_count(X509_get_subject_name(leaf.get())), 0);
  EXPECT_TRUE(IsCritical(leaf.get(), NID_subject_alt_name));
  EXPECT_EQ(X509_get_extended_key_usage(leaf.get()), unsigned{XKU_SSL_SERVER | XKU_SSL_CLIENT});
  EXPECT_TRUE(Has(leaf.get(), NID_subject_key_identifier));
  EXPECT_TRUE(Has(leaf.get(), NID_authority_key_identifier));
  EXPECT_EQ(NotBefore(leaf.get()), kNow - 10s);
  EXPECT_EQ(NotAfter(leaf.get()), kNow + 1h);
  EXPECT_EQ(X509_check_host(leaf.get(), "web.shop.example", 0, 0, nullptr), 1);
  EXPECT_TRUE(Verify(authority, *chain).ok());
}

TEST(CertificateAuthorityTest, SerialsAreLongAndNeverRepeat) {
  CertificateAuthority authority = SelfSigned();
  PrivateKey key = *PrivateKey::GenerateP256();
  std::set<std::string> serials;
  size_t digits = 0;
  for (int i = 0; i < 64; ++i) {
    X509Ptr leaf = DecodeCertificate(authority.SignLeaf(RequestFor(key), kNow)->front());
    std::string serial = SerialHex(leaf.get());
    digits = std::max(digits, serial.size());
    serials.insert(std::move(serial));
  }
  EXPECT_EQ(serials.size(), 64u);
  EXPECT_EQ(digits, 32u);
}

TEST(CertificateAuthorityTest, ASerialBeginsWithTheGivenPrefixAndIsStillRandom) {
  CertificateAuthority authority = SelfSigned();
  PrivateKey key = *PrivateKey::GenerateP256();
  LeafRequest request = RequestFor(key);
  request.serial_prefix = "\x41\x01\x02\x03\x04\x05\x06\x07";
  std::set<std::string> serials;
  for (int i = 0; i < 16; ++i) {
    StatusOr<std::vector<std::string>> chain = authority.SignLeaf(request, kNow);
    ASSERT_TRUE(chain.ok()) << chain.status();
    EXPECT_TRUE(Verify(authority, *chain).ok());
    std::string serial = SerialHex(DecodeCertificate(chain->front()).get());
    EXPECT_EQ(serial.substr(0, 16), "4101020304050607");
    EXPECT_EQ(serial.size(), 40u);  // The 20 octets of RFC 5280 section 4.1.2.2.
    serials.insert(std::move(serial));
  }
  EXPECT_EQ(serials.size(), 16u);
  for (std::string bad : {"short", "much too long", "\xc1 234567", "\x0f 234567"}) {
    request.serial_prefix = bad;
    EXPECT_EQ(authority.SignLeaf(request, kNow).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(CertificateAuthorityTest, ALeafNeverOutlivesItsAuthority) {
  CertificateAuthority authority = SelfSigned(30min);
  PrivateKey key = *PrivateKey::GenerateP256();
  X509Ptr leaf = DecodeCertificate(authority.SignLeaf(RequestFor(key), kNow + 20min)->front());
  EXPECT_EQ(NotAfter(leaf.get()), kNow + 30min);
  EXPECT_EQ(authority.SignLeaf(RequestFor(key), kNow + 30min).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(authority.SignLeaf(RequestFor(key), kNow - 1min).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST(CertificateAuthorityTest, WhatMayNotBeSignedIsRefused) {
  CertificateAuthority authority = SelfSigned();
  PrivateKey key = *PrivateKey::GenerateP256();
  auto code = [&](const LeafRequest& request) {
    return authority.SignLeaf(request, kNow).status().code();
  };
  EXPECT_EQ(code(RequestFor(key, "spiffe://other.example/web")), StatusCode::kPermissionDenied);
  EXPECT_EQ(code(RequestFor(key, "spiffe://shop.example")), StatusCode::kPermissionDenied);
  LeafRequest request = RequestFor(key);
  request.ttl = 999ms;
  EXPECT_EQ(code(request), StatusCode::kInvalidArgument);
  request = RequestFor(key);
  request.public_key_der = "junk";
  EXPECT_EQ(code(request), StatusCode::kInvalidArgument);
  for (const char* name : {"", "Web.example", "*.example", "a..b", "-a", "a.", "a b", "a\n"}) {
    request = RequestFor(key);
    request.dns_names = {name};
    EXPECT_EQ(code(request), StatusCode::kInvalidArgument) << name;
  }
  request.dns_names.assign(33, "web.example");
  EXPECT_EQ(code(request), StatusCode::kResourceExhausted);
}

TEST(CertificateAuthorityTest, ASavedAuthorityIsLoadedAgain) {
  TempDir folder;
  CertificateAuthority authority = SelfSigned();
  ASSERT_TRUE(authority.Save(folder.path()).ok());
  struct stat facts = {};
  ASSERT_EQ(::stat(folder.File("authority.pem").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  StatusOr<CertificateAuthority> loaded = CertificateAuthority::Load(Shop(), folder.path());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->authorities_der(), authority.authorities_der());
  PrivateKey key = *PrivateKey::GenerateP256();
  EXPECT_TRUE(Verify(authority, *loaded->SignLeaf(RequestFor(key), kNow)).ok());
}

TEST(CertificateAuthorityTest, ABadAuthorityFileIsRefused) {
  TempDir folder;
  EXPECT_EQ(CertificateAuthority::Load(Shop(), folder.path()).status().code(),
            StatusCode::kNotFound);
  ASSERT_TRUE(SelfSigned().Save(folder.path()).ok());
  EXPECT_EQ(CertificateAuthority::Load(*TrustDomain::Parse("other.example"), folder.path())
                .status()
                .code(),
            StatusCode::kFailedPrecondition);
  std::string path = folder.File("authority.pem");
  std::string good = *ReadFile(path, 100'000);
  std::string foreign_key = *PrivateKey::GenerateP256()->ToPkcs8Pem();
  for (const std::string& content :
       {std::string(), good.substr(0, good.size() / 2),
        good.substr(0, good.find("-----BEGIN CERT")), good.substr(good.find("-----BEGIN CERT")),
        foreign_key + good.substr(good.find("-----BEGIN CERT"))}) {
    ASSERT_TRUE(WriteFileAtomically(path, content, 0600).ok());
    EXPECT_EQ(CertificateAuthority::Load(Shop(), folder.path()).status().code(),
              StatusCode::kInvalidArgument)
        << content;
  }
  ASSERT_TRUE(WriteFileAtomically(path, good, 0640).ok());
  EXPECT_EQ(CertificateAuthority::Load(Shop(), folder.path()).status().code(),
            StatusCode::kPermissionDenied);
}

TEST(CertificateAuthorityTest, UnderAnUpstreamTheBundleHoldsTheUpstreamsRoot) {
  TestCa root("shop.example", kNow);
  TestCa middle(root, root.CaSpec("middle"));
  StatusOr<CertificateAuthority> authority = CertificateAuthority::CreateUnder(
      Shop(), {middle.CertificatePem() + root.root_pem(), middle.KeyPem()}, 168h, kNow);
  ASSERT_TRUE(authority.ok()) << authority.status();
  EXPECT_EQ(authority->authorities_der(), std::vector<std::string>{root.root_der()});
  EXPECT_EQ(authority->not_after(), kNow + 24h);  // The upstream's own end.
  PrivateKey key = *PrivateKey::GenerateP256();
  StatusOr<std::vector<std::string>> chain = authority->SignLeaf(RequestFor(key), kNow);
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ(chain->size(), 3u);
  VerifyResult result = Verify(*authority, *chain);
  EXPECT_TRUE(result.ok()) << VerifyErrorName(result.error());
  EXPECT_TRUE(X509Svid::Create(*chain, *key.ToPkcs8Der()).ok());
  TempDir folder;
  ASSERT_TRUE(authority->Save(folder.path()).ok());
  EXPECT_TRUE(CertificateAuthority::Load(Shop(), folder.path()).ok());
}

TEST(CertificateAuthorityTest, AnUpstreamThatVerifiersWouldRefuseIsRefused) {
  TestCa root("shop.example", kNow);
  auto refuse = [&](const UpstreamAuthority& upstream, WallTime now = kNow) {
    Status status = CertificateAuthority::CreateUnder(Shop(), upstream, 1h, now).status();
    EXPECT_FALSE(status.ok());
    return std::string(Message(status));
  };
  TestCertificateSpec narrow = root.CaSpec("narrow");
  narrow.extensions["basicConstraints"] = "critical,CA:TRUE,pathlen:0";
  TestCa no_further(root, narrow);
  EXPECT_NE(refuse({no_further.CertificatePem() + root.root_pem(), no_further.KeyPem()})
                .find("path_too_long"),
            std::string::npos);
  narrow = root.CaSpec("constrained");
  narrow.extensions["nameConstraints"] = "critical,permitted;URI:other.example";
  TestCa constrained(root, narrow);
  EXPECT_NE(refuse({constrained.CertificatePem() + root.root_pem(), constrained.KeyPem()})
                .find("name_constraint"),
            std::string::npos);
  TestCa middle(root, root.CaSpec("middle"));
  EXPECT_NE(refuse({middle.CertificatePem(), middle.KeyPem()}).find("self-signed root"),
            std::string::npos);
  EXPECT_NE(refuse({root.root_pem(), middle.KeyPem()}).find("key is not that"), std::string::npos);
  EXPECT_NE(refuse({"", root.KeyPem()}).find("no certificate"), std::string::npos);
  EXPECT_NE(refuse({root.root_pem(), root.KeyPem()}, kNow + 25h).find("not valid now"),
            std::string::npos);
  TestCa leaf_as_upstream("shop.example", root.LeafSpec("/web"));
  refuse({leaf_as_upstream.CertificatePem(), leaf_as_upstream.KeyPem()});
}

}  // namespace
}  // namespace countersign::identity
