#include "pdp/policy_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pdp/listen_address.h"
#include "pdp/pdp_server.h"
#include "tests/pdp/pdp_folder.h"

namespace countersign::pdp {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kPatienceWithSource{20};

class PolicySourceTest : public testing::Test {
 protected:
  void Start() { source_ = PolicySource::Start(folder_.policies(), Clock::System(), PdpLimits()); }
  // Looks again and again, on the processor, until it is so.
  bool Becomes(const std::function<bool(const PolicyState&)>& wanted) const {
    const auto until = std::chrono::steady_clock::now() + kPatienceWithSource;
    while (std::chrono::steady_clock::now() < until) {
      if (wanted(source_->State())) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }
  static std::string Changed() {
    std::string text(kShop);
    return text.replace(text.find("/public"), 7, "/open");
  }

  PdpFolder folder_;
  std::unique_ptr<PolicySource> source_;
};

TEST_F(PolicySourceTest, AGoodFolderIsInForceWhenStartReturns) {
  folder_.Write("shop.yaml", kShop);
  Start();
  EXPECT_TRUE(source_->State().ready);
  EXPECT_EQ(source_->State().rules, 4U);
  EXPECT_NE(source_->Active(), nullptr);
  EXPECT_EQ(source_->Active()->policy().digest(), source_->State().digest);
}

TEST_F(PolicySourceTest, AChangeOfContentIsTakenWithoutBeingTold) {
  folder_.Write("shop.yaml", kShop);
  Start();
  const std::string first = source_->State().digest;
  folder_.Write("shop.yaml", Changed());
  EXPECT_TRUE(Becomes([&](const PolicyState& state) { return state.digest != first; }));
  EXPECT_EQ(source_->State().loads_good, 2U);
}

TEST_F(PolicySourceTest, ABrokenFolderKeepsTheLastGoodPolicyAndSaysWhy) {
  folder_.Write("shop.yaml", kShop);
  Start();
  const std::string first = source_->State().digest;
  folder_.Write("more.yaml", "kind: AccessPolicy\nspec: [");
  ASSERT_TRUE(Becomes([](const PolicyState& state) { return !state.refused.empty(); }));
  EXPECT_EQ(source_->State().digest, first);
  EXPECT_TRUE(source_->State().ready);
  EXPECT_THAT(source_->State().refused, HasSubstr("more.yaml:"));
  folder_.Remove("more.yaml");
  EXPECT_TRUE(Becomes([](const PolicyState& state) { return state.refused.empty(); }));
  EXPECT_EQ(source_->State().digest, first);
}

TEST_F(PolicySourceTest, AFolderThatIsEmptiedOrGoneKeepsTheLastGoodPolicy) {
  folder_.Write("shop.yaml", kShop);
  Start();
  folder_.Remove("shop.yaml");
  ASSERT_TRUE(Becomes([](const PolicyState& state) { return state.loads_refused == 1; }));
  std::filesystem::remove_all(folder_.policies());
  ASSERT_TRUE(Becomes([](const PolicyState& state) { return state.loads_refused == 2; }));
  EXPECT_TRUE(source_->State().ready);
  EXPECT_NE(source_->Active(), nullptr);
}

TEST_F(PolicySourceTest, AFolderThatIsMendedIsTakenAlthoughTheStartFoundItBroken) {
  folder_.Write("shop.yaml", "nonsense: 1\n");
  Start();
  EXPECT_FALSE(source_->State().ready);
  EXPECT_EQ(source_->Active(), nullptr);
  EXPECT_EQ(source_->State().loads_refused, 1U);
  folder_.Write("shop.yaml", kShop);
  EXPECT_TRUE(Becomes([](const PolicyState& state) { return state.ready; }));
}

TEST_F(PolicySourceTest, BeingToldToLookDoesNotWaitForThePoll) {
  folder_.Write("shop.yaml", kShop);
  PdpLimits slow;
  slow.poll = std::chrono::hours(1);
  source_ = PolicySource::Start(folder_.policies(), Clock::System(), slow);
  folder_.Write("shop.yaml", Changed());
  source_->LookNow();
  EXPECT_TRUE(Becomes([](const PolicyState& state) { return state.loads_good == 2; }));
}

TEST_F(PolicySourceTest, APolicyThatWasReplacedLivesAsLongAsItsJudges) {
  folder_.Write("shop.yaml", kShop);
  Start();
  const std::shared_ptr<const ActivePolicy> old = source_->Active();
  folder_.Write("shop.yaml", Changed());
  ASSERT_TRUE(Becomes([](const PolicyState& state) { return state.loads_good == 2; }));
  ActivePolicy::Loan loan(*old);
  authz::CanonicalRequest request;
  request.kind = authz::RequestKind::kHttp;
  request.callee = kOrders;
  request.method = "GET";
  request.path = "/public";
  EXPECT_EQ(old->policy().Decide(request, Clock::System().Now(), loan.scratch()).effect,
            authz::Effect::kAllow);
}

TEST(ListenAddressTest, ReadsUnixSocketsAndIpAddressesAlone) {
  EXPECT_TRUE(ListenAddress::Parse("unix:/run/pdp.sock")->is_unix());
  for (const char* local : {"127.0.0.1:0", "127.9.9.9:1", "[::1]:9000", "unix:/a"}) {
    ASSERT_TRUE(ListenAddress::Parse(local).ok()) << local;
    EXPECT_TRUE(ListenAddress::Parse(local)->is_local()) << local;
  }
  for (const char* open : {"0.0.0.0:9000", "10.0.0.7:1", "[::]:9000", "[fd00::1]:1"}) {
    ASSERT_TRUE(ListenAddress::Parse(open).ok()) << open;
    EXPECT_FALSE(ListenAddress::Parse(open)->is_local()) << open;
  }
  for (const char* bad : {"", "localhost:9000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                          "127.0.0.1:+1", "::1:9000", "[::1]", "unix:", "unix:relative", "1:1"}) {
    EXPECT_FALSE(ListenAddress::Parse(bad).ok()) << bad;
  }
}

TEST(PdpServerTest, PlainTextForOtherMachinesNeedsALoudWord) {
  PdpFolder folder;
  folder.Write("shop.yaml", kShop);
  PdpOptions options;
  options.policies = folder.policies();
  options.http = *ListenAddress::Parse("0.0.0.0:0");
  const auto refused = PdpServer::Start(options, Clock::System());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(Message(refused.status())), HasSubstr("--insecure-network"));
  options.network = NetworkUse::kInsecureNetwork;
  EXPECT_TRUE(PdpServer::Start(options, Clock::System()).ok());
}

TEST(PdpServerTest, RefusesToGuardNobodyKnowsWhichWorkload) {
  PdpFolder folder;
  PdpOptions options;
  options.policies = folder.policies();
  EXPECT_FALSE(PdpServer::Start(options, Clock::System()).ok()) << "no address";
  options.grpc = *ListenAddress::Parse("127.0.0.1:0");
  const auto refused = PdpServer::Start(options, Clock::System());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(std::string(Message(refused.status())), HasSubstr("--workload ID"));
}

}  // namespace
}  // namespace countersign::pdp
