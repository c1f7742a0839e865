#include "identity/server/issuer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "identity/csr.h"
#include "identity/key.h"
#include "identity/peer_verifier.h"
#include "tests/support/temp_dir.h"

namespace countersign::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class IssuerTest : public testing::Test {
 protected:
  IssuerOptions Options() {
    return {domain_, folder_.File("ca"), 168h, 1h, upstream_cert_, upstream_key_};
  }
  std::unique_ptr<Issuer> Open() {
    auto issuer = Issuer::Open(Options(), clock_);
    EXPECT_TRUE(issuer.ok()) << issuer.status();
    return issuer.ok() ? *std::move(issuer) : nullptr;
  }
  std::string Refusal() {
    auto issuer = Issuer::Open(Options(), clock_);
    EXPECT_FALSE(issuer.ok());
    return std::string(Message(issuer.status()));
  }
  SignRequest Request(std::chrono::nanoseconds ttl) {
    return {*identity::SpiffeId::Parse("spiffe://shop.example/ns/prod/sa/web"),
            *identity::MakeCsr(key_),
            ttl,
            {}};
  }
  TempDir folder_;
  FakeClock clock_{*ParseTime("2026-01-31T12:00:00.000Z")};
  identity::TrustDomain domain_ = *identity::TrustDomain::Parse("shop.example");
  identity::PrivateKey key_ = *identity::PrivateKey::GenerateP256();
  std::string upstream_cert_;
  std::string upstream_key_;
};

TEST_F(IssuerTest, AuthorityIsMadeOnceAndKept) {
  std::string serial = Open()->authority().serial();
  clock_.Advance(24h);
  EXPECT_EQ(Open()->authority().serial(), serial);
}

TEST_F(IssuerTest, SignedSvidVerifiesAgainstTheAuthority) {
  auto issuer = Open();
  auto svid = issuer->Sign(Request(30min));
  ASSERT_TRUE(svid.ok()) << svid.status();
  auto bundle =
      identity::TrustBundle::FromAuthorities(domain_, issuer->authority().authorities_der());
  auto bundles = identity::BundleSet::Create(
      {std::make_shared<const identity::TrustBundle>(*std::move(bundle))});
  identity::PeerVerifier verifier(std::make_shared<const identity::BundleSet>(*std::move(bundles)));
  std::vector<std::string_view> chain(svid->chain_der.begin(), svid->chain_der.end());
  auto result = verifier.Verify(chain, identity::PeerRole::kClient, clock_.Now());
  ASSERT_TRUE(result.ok()) << identity::VerifyErrorName(result.error());
  EXPECT_EQ(result.peer().serial(), svid->serial);
  EXPECT_EQ(result.peer().not_after(), svid->not_after);
  EXPECT_EQ(svid->not_after, clock_.Now() + 30min);
}

TEST_F(IssuerTest, RequestThatItsKeyDidNotSignIsRefused) {
  SignRequest request = Request(1h);
  request.csr_der[request.csr_der.size() - 5] ^= 1;
  EXPECT_EQ(Open()->Sign(request).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(IssuerTest, NothingIsSignedBeforeTheAuthoritysBeginning) {
  auto issuer = Open();
  clock_.JumpWall(-24h);
  auto svid = issuer->Sign(Request(1h));
  EXPECT_EQ(svid.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(svid.status())), HasSubstr("set the clock"));
  EXPECT_THAT(Refusal(), HasSubstr("set the clock"));
  clock_.JumpWall(24h);
  EXPECT_TRUE(issuer->Sign(Request(1h)).ok());
}

TEST_F(IssuerTest, ClockThatJumpsIsLoggedAndOneThatSlewsIsNot) {
  auto issuer = Open();
  testing::internal::CaptureStderr();
  clock_.Advance(10h);
  clock_.JumpWall(2s);
  EXPECT_TRUE(issuer->CheckClock().ok());
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::Not(HasSubstr("jumped")));
  testing::internal::CaptureStderr();
  clock_.JumpWall(1h);
  EXPECT_TRUE(issuer->CheckClock().ok());
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(HasSubstr("jumped"), HasSubstr("set the clock"),
                             HasSubstr("countersign doctor")));
}

TEST_F(IssuerTest, AnAuthorityEndsSoonWhenAFifthOfItsLifeIsLeft) {
  auto issuer = Open();
  EXPECT_FALSE(issuer->EndsSoon());
  clock_.Advance(134h);
  EXPECT_FALSE(issuer->EndsSoon());
  clock_.Advance(1h);
  EXPECT_TRUE(issuer->EndsSoon());
}

TEST_F(IssuerTest, AnSvidOfALongLivedAuthorityIsShortAllTheSame) {
  IssuerOptions options = Options();
  options.authority_ttl = 8760h;
  auto issuer = Issuer::Open(options, clock_);
  ASSERT_TRUE(issuer.ok()) << issuer.status();
  EXPECT_EQ((*issuer)->longest_ttl(), 168h);
}

TEST_F(IssuerTest, ExpiredAuthorityIsASentence) {
  auto issuer = Open();
  clock_.Advance(169h);
  EXPECT_EQ(issuer->Sign(Request(1h)).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Refusal(), testing::AllOf(HasSubstr("ended at"), HasSubstr("attest every agent")));
}

TEST_F(IssuerTest, KeyThatOthersMayReadIsRefused) {
  Open();
  ASSERT_EQ(::chmod(folder_.File("ca/authority.pem").c_str(), 0644), 0);
  EXPECT_THAT(Refusal(), HasSubstr("chmod 0600"));
}

TEST_F(IssuerTest, AuthorityMustOutliveSvidsSixTimes) {
  IssuerOptions options = Options();
  options.longest_svid_ttl = 29h;
  auto issuer = Issuer::Open(options, clock_);
  EXPECT_EQ(issuer.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(Message(issuer.status())), HasSubstr("at least 6 times"));
  options.longest_svid_ttl = 28h;
  EXPECT_TRUE(Issuer::Open(options, clock_).ok());
}

TEST_F(IssuerTest, UpstreamNeedsBothFilesAndASecretKey) {
  upstream_cert_ = folder_.File("upstream.pem");
  EXPECT_THAT(Refusal(), HasSubstr("belong together"));
  upstream_key_ = folder_.File("upstream.key");
  ASSERT_TRUE(WriteFileAtomically(upstream_cert_, "x", 0644).ok());
  ASSERT_TRUE(WriteFileAtomically(upstream_key_, "x", 0644).ok());
  EXPECT_THAT(Refusal(), HasSubstr("chmod 0600"));
}

TEST_F(IssuerTest, ServersOwnSvidIsTheServers) {
  auto svid = Open()->MakeServerSvid(1h);
  ASSERT_TRUE(svid.ok()) << svid.status();
  EXPECT_EQ(svid->id().str(), "spiffe://shop.example/server");
}

}  // namespace
}  // namespace countersign::server
