#include "sds/agent/svid_keeper.h"

#include <gtest/gtest.h>

#include "identity/certificate_authority.h"
#include "identity/csr.h"

namespace countersign::agent {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";

std::shared_ptr<const authz::Registration> Web(std::chrono::nanoseconds ttl = hours(1)) {
  auto registration = std::make_shared<authz::Registration>();
  registration->name = "web";
  registration->id = kWebId;
  registration->svid_ttl = ttl;
  return registration;
}

class SvidKeeperTest : public ::testing::Test {
 protected:
  SvidKeeperTest()
      : authority_(*identity::CertificateAuthority::CreateSelfSigned(
            *identity::TrustDomain::Parse("shop.example"), hours(48), clock_.Now())),
        verifier_(Trusted(authority_)) {}

  static identity::PeerVerifier Trusted(const identity::CertificateAuthority& authority) {
    auto bundle = std::make_shared<identity::TrustBundle>(*identity::TrustBundle::FromAuthorities(
        authority.trust_domain(), authority.authorities_der()));
    return identity::PeerVerifier(
        std::make_shared<identity::BundleSet>(*identity::BundleSet::Create({bundle})));
  }
  void Need(const std::shared_ptr<const authz::Registration>& registration) {
    std::vector<std::shared_ptr<const authz::Registration>> all = {registration};
    keeper_.SetRegistrations(all);
  }
  SigningAnswer Sign(const SigningAsk& ask, std::string_view id = kWebId,
                     std::chrono::nanoseconds ttl = hours(1)) {
    auto csr = *identity::ParseCsr(ask.csr_der);
    auto chain = *authority_.SignLeaf(
        {*identity::SpiffeId::Parse(id), csr.public_key_der(), ttl, {}}, clock_.Now());
    return {ask.id, std::move(chain), absl::OkStatus()};
  }
  // Asks for what is due and takes the answers; says how many there were.
  size_t SignAll() {
    std::vector<SigningAsk> asks = *keeper_.Due(100);
    for (const SigningAsk& ask : asks) {
      auto accepted = keeper_.Accept(Sign(ask), verifier_);
      EXPECT_TRUE(accepted.ok() && accepted->has_value()) << accepted.status();
    }
    return asks.size();
  }

  FakeClock clock_{std::chrono::floor<std::chrono::seconds>(Clock::System().Now())};
  double jitter_ = 0;
  identity::CertificateAuthority authority_;
  identity::PeerVerifier verifier_;
  SvidKeeper keeper_{AgentLimits(), [this] { return jitter_; }, clock_};
};

TEST_F(SvidKeeperTest, AsksOnceForANewRegistration) {
  Need(Web());
  EXPECT_EQ(keeper_.Due(100)->size(), 1u);
  EXPECT_EQ(keeper_.Due(100)->size(), 0u);  // The answer is on its way.
}

TEST_F(SvidKeeperTest, RenewsAtHalfLifeWithATenthOfJitter) {
  const struct {
    const char* name;
    double jitter;
    minutes quiet_until, due_at;
  } rows[] = {{"none", 0, minutes(29), minutes(31)},
              {"most", 1, minutes(32), minutes(34)},
              {"least", -1, minutes(26), minutes(28)}};
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    jitter_ = row.jitter;
    Need(Web(minutes(60 + static_cast<int>(row.jitter))));  // Another shape: signed anew.
    ASSERT_EQ(SignAll(), 1u);
    clock_.Advance(row.quiet_until);
    EXPECT_EQ(keeper_.Due(100)->size(), 0u);
    clock_.Advance(row.due_at - row.quiet_until);
    EXPECT_EQ(SignAll(), 1u);
  }
}

TEST_F(SvidKeeperTest, TakesANewKeyForEachRenewal) {
  Need(Web());
  SignAll();
  std::string first = keeper_.Valid().at("web")->key_pkcs8_der();
  clock_.Advance(minutes(31));
  SignAll();
  EXPECT_NE(keeper_.Valid().at("web")->key_pkcs8_der(), first);
}

TEST_F(SvidKeeperTest, AsksAgainAtOnceWhenTheShapeChangesAndServesTheOldOneMeanwhile) {
  Need(Web());
  SignAll();
  Need(Web(minutes(30)));
  EXPECT_EQ(keeper_.Valid().count("web"), 1u);
  EXPECT_EQ(SignAll(), 1u);
  EXPECT_EQ(keeper_.Due(100)->size(), 0u);
}

TEST_F(SvidKeeperTest, DropsTheSvidOfAnotherIdentityAtOnce) {
  Need(Web());
  SignAll();
  auto renamed = std::make_shared<authz::Registration>(*Web());
  renamed->id = "spiffe://shop.example/ns/prod/sa/other";
  Need(renamed);
  EXPECT_TRUE(keeper_.Valid().empty());
}

TEST_F(SvidKeeperTest, NamesWhatIsNeededNoMore) {
  Need(Web());
  SignAll();
  EXPECT_EQ(keeper_.SetRegistrations({}), std::vector<std::string>{"web"});
  EXPECT_TRUE(keeper_.Valid().empty());
}

TEST_F(SvidKeeperTest, GivesNoExpiredSvid) {
  Need(Web());
  SignAll();
  std::chrono::nanoseconds left = keeper_.Valid().at("web")->not_after() - clock_.Now();
  EXPECT_EQ(keeper_.UntilExpiry(), left);
  clock_.Advance(left - std::chrono::nanoseconds(1));
  EXPECT_EQ(keeper_.Valid().size(), 1u);
  EXPECT_EQ(keeper_.ValidCount(), 1u);
  clock_.Advance(std::chrono::nanoseconds(1));
  EXPECT_TRUE(keeper_.Valid().empty());
  EXPECT_EQ(keeper_.ValidCount(), 0u);
  EXPECT_FALSE(keeper_.UntilExpiry().has_value());
}

TEST_F(SvidKeeperTest, RefusesAnSvidOfAnotherIdentity) {
  Need(Web());
  std::vector<SigningAsk> asks = *keeper_.Due(100);
  EXPECT_FALSE(keeper_.Accept(Sign(asks[0], "spiffe://shop.example/admin"), verifier_).ok());
  EXPECT_TRUE(keeper_.Valid().empty());
}

TEST_F(SvidKeeperTest, RefusesAnSvidThatTheBundlesDoNotVerify) {
  auto other = *identity::CertificateAuthority::CreateSelfSigned(authority_.trust_domain(),
                                                                 hours(48), clock_.Now());
  Need(Web());
  std::vector<SigningAsk> asks = *keeper_.Due(100);
  EXPECT_FALSE(keeper_.Accept(Sign(asks[0]), Trusted(other)).ok());
  EXPECT_TRUE(keeper_.Valid().empty());
}

TEST_F(SvidKeeperTest, RefusesAnAnswerForAnotherKey) {
  Need(Web());
  SigningAsk first = (*keeper_.Due(100))[0];
  keeper_.ForgetAsks();
  SigningAsk second = (*keeper_.Due(100))[0];
  SigningAnswer mixed = Sign(first);
  mixed.id = second.id;
  EXPECT_FALSE(keeper_.Accept(mixed, verifier_).ok());
}

TEST_F(SvidKeeperTest, IgnoresAnAnswerThatNobodyWaitsFor) {
  Need(Web());
  SigningAsk ask = (*keeper_.Due(100))[0];
  SigningAnswer answer = Sign(ask);
  keeper_.ForgetAsks();
  auto accepted = keeper_.Accept(answer, verifier_);
  ASSERT_TRUE(accepted.ok());
  EXPECT_FALSE(accepted->has_value());
}

TEST_F(SvidKeeperTest, WaitsLongerAfterEachRefusalUpToALimit) {
  Need(Web());
  std::chrono::nanoseconds waited{};
  AgentLimits limits;
  for (int i = 0; i < 12; ++i) {
    std::vector<SigningAsk> asks = *keeper_.Due(100);
    ASSERT_EQ(asks.size(), 1u);
    EXPECT_FALSE(keeper_.Accept({asks[0].id, {}, PermissionDenied("no")}, verifier_).ok());
    EXPECT_TRUE(keeper_.Due(100)->empty());
    std::chrono::nanoseconds wait = *keeper_.UntilDue();
    EXPECT_GE(wait, waited);
    EXPECT_LE(wait, limits.backoff_most);
    waited = wait;
    clock_.Advance(wait);
  }
  EXPECT_EQ(waited, limits.backoff_most);
}

TEST_F(SvidKeeperTest, RestoresOnlyWhatIsStillNeeded) {
  Need(Web());
  std::vector<SigningAsk> asks = *keeper_.Due(100);
  StoredSvid stored = (*keeper_.Accept(Sign(asks[0]), verifier_))->stored;
  SvidKeeper next{AgentLimits(), [] { return 0.0; }, clock_};
  EXPECT_FALSE(next.Restore("web", stored));
  std::vector<std::shared_ptr<const authz::Registration>> all = {Web()};
  next.SetRegistrations(all);
  EXPECT_TRUE(next.Restore("web", stored));
  EXPECT_EQ(next.Valid().size(), 1u);
  EXPECT_TRUE(next.Due(100)->empty());
}

TEST_F(SvidKeeperTest, AWallClockSetBackDelaysNoRenewal) {
  Need(Web());
  SignAll();
  clock_.Advance(minutes(29));
  clock_.JumpWall(-hours(5));
  EXPECT_EQ(keeper_.Due(100)->size(), 0u);
  EXPECT_LE(*keeper_.UntilDue(), minutes(1)) << "the agent wakes in time";
  clock_.Advance(minutes(2));
  EXPECT_EQ(keeper_.Due(100)->size(), 1u);
}

TEST_F(SvidKeeperTest, AWallClockSetBackDelaysNoRetryAndNoLostAsk) {
  Need(Web());
  SigningAsk ask = (*keeper_.Due(100))[0];
  clock_.JumpWall(-hours(5));
  EXPECT_FALSE(keeper_.Accept({ask.id, {}, PermissionDenied("no")}, verifier_).ok());
  clock_.JumpWall(-hours(5));
  clock_.Advance(AgentLimits().backoff_least);
  EXPECT_EQ(keeper_.Due(100)->size(), 1u);
  clock_.JumpWall(-hours(5));
  clock_.Advance(minutes(1));
  EXPECT_EQ(keeper_.Due(100)->size(), 1u) << "no answer came in a minute";
}

TEST_F(SvidKeeperTest, AWallClockSetForwardRenewsAtOnce) {
  Need(Web());
  SignAll();
  clock_.JumpWall(minutes(45));
  EXPECT_EQ(keeper_.Due(100)->size(), 1u);
}

TEST_F(SvidKeeperTest, AWallClockSetBackKeepsNoSvidBeyondTheLifeItWasGiven) {
  Need(Web());
  SignAll();
  std::chrono::nanoseconds life = keeper_.Valid().at("web")->not_after() - clock_.Now();
  clock_.JumpWall(-hours(5));
  clock_.Advance(life - std::chrono::nanoseconds(1));
  EXPECT_EQ(keeper_.ValidCount(), 1u);
  EXPECT_EQ(keeper_.UntilExpiry(), std::chrono::nanoseconds(1));
  clock_.Advance(std::chrono::nanoseconds(1));
  EXPECT_TRUE(keeper_.Valid().empty()) << "by its own clock it is good for five hours more";
}

TEST_F(SvidKeeperTest, AnSvidExpiredByAJumpForwardServesAgainWhenTheClockIsMended) {
  Need(Web());
  SignAll();
  clock_.JumpWall(hours(5));
  EXPECT_EQ(keeper_.ValidCount(), 0u);
  clock_.JumpWall(-hours(5));
  EXPECT_EQ(keeper_.ValidCount(), 1u);
}

TEST_F(SvidKeeperTest, AStoredSvidFromTheFutureIsRenewedAtOnceAndEndsWithinOneLife) {
  Need(Web());
  std::vector<SigningAsk> asks = *keeper_.Due(100);
  StoredSvid stored = (*keeper_.Accept(Sign(asks[0]), verifier_))->stored;
  clock_.JumpWall(-hours(5));
  SvidKeeper next{AgentLimits(), [] { return 0.0; }, clock_};
  std::vector<std::shared_ptr<const authz::Registration>> all = {Web()};
  next.SetRegistrations(all);
  ASSERT_TRUE(next.Restore("web", stored));
  EXPECT_EQ(next.Due(100)->size(), 1u);
  EXPECT_LE(*next.UntilExpiry(), hours(1));
}

TEST_F(SvidKeeperTest, SaysWhichClockToLookAtWhenWhatIsSignedIsNotValidHere) {
  for (auto jump : {-hours(1), hours(2)}) {
    Need(Web());
    SigningAsk ask = (*keeper_.Due(100))[0];
    SigningAnswer answer = Sign(ask);
    clock_.JumpWall(jump);
    std::string why(Message(keeper_.Accept(answer, verifier_).status()));
    EXPECT_NE(why.find("the clock of this node says " + FormatTime(clock_.Now())),
              std::string::npos)
        << why;
    EXPECT_NE(why.find("set the clock"), std::string::npos) << why;
    EXPECT_TRUE(keeper_.Valid().empty());
    clock_.JumpWall(-jump);
    keeper_.ForgetAsks();
  }
}

}  // namespace
}  // namespace countersign::agent
