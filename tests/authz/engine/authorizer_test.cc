// Permits exist only as the end of a verdict, and go stale with what the verdict rests on.
#include "authz/engine/authorizer.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <type_traits>

#include "base/fd.h"
#include "identity/local_caller.h"
#include "identity/peer_verifier.h"
#include "tests/support/policy_builder.h"
#include "tests/support/test_ca.h"

namespace countersign::authz::testing {
namespace {

// A permit cannot be made, copied or assembled by anybody but Authorizer.
static_assert(!std::is_default_constructible_v<Permit>);
static_assert(!std::is_copy_constructible_v<Permit>);
static_assert(!std::is_copy_assignable_v<Permit>);
static_assert(!std::is_aggregate_v<Permit>);
static_assert(!std::is_constructible_v<Permit, VerdictBasis>);
static_assert(!std::is_constructible_v<Permit, const VerdictBasis&, const Decision&>);
static_assert(!std::is_constructible_v<Permit, Decision>);
static_assert(!std::is_convertible_v<Decision, Permit>);
static_assert(std::is_nothrow_move_constructible_v<Permit>);
// Nor can a subject come from a string, or a verified peer from anything but its verifier.
static_assert(!std::is_constructible_v<InboundSubject, std::string>);
static_assert(!std::is_constructible_v<InboundSubject, identity::SpiffeId>);
static_assert(!std::is_default_constructible_v<InboundSubject>);
static_assert(!std::is_default_constructible_v<identity::VerifiedPeer>);
static_assert(!std::is_default_constructible_v<identity::LocalCaller>);
static_assert(!std::is_constructible_v<identity::LocalCaller, uid_t>);

class AuthorizerTest : public ::testing::Test {
 protected:
  AuthorizerTest() : ca_("shop.example"), web_(Peer("/ns/prod/sa/web")) {}

  identity::VerifiedPeer Peer(std::string_view path) {
    TestChain chain = ca_.Sign(ca_.LeafSpec(path));
    identity::PeerVerifier verifier(ca_.Bundles());
    identity::VerifyResult result =
        verifier.Verify(chain.views(), identity::PeerRole::kClient, ca_.now());
    EXPECT_TRUE(result.ok());
    return result.peer();
  }

  void Adopt(std::vector<Rule> rules, uint64_t version = 1) {
    auto compiled = CompiledPolicy::Compile(OneSet(std::move(rules)));
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    authorizer_.Adopt(*compiled, {.policy = version, .svid = 1, .bundle = 1, .crl = 1});
  }

  WallTime now() const { return ca_.now(); }

  TestCa ca_;
  identity::VerifiedPeer web_;
  Authorizer authorizer_;
};

TEST_F(AuthorizerTest, R15WithoutAPolicyEverythingIsDeniedAsNotReady) {
  Verdict verdict = authorizer_.AuthorizeRequest(web_, Get(), now());
  EXPECT_EQ(verdict.decision.reason, Reason::kNotReady);
  EXPECT_EQ(verdict.decision.effect, Effect::kDeny);
  EXPECT_FALSE(verdict.permit.has_value());
  EXPECT_EQ(authorizer_.AuthorizeConnection(web_, Tcp(), now()).decision.reason, Reason::kNotReady);
}

TEST_F(AuthorizerTest, AnAllowComesWithAPermitAndADenyWithNone) {
  Adopt({R("web", Effect::kAllow, {Id(Is(kWeb))}, {Path(Under("/orders"))})});
  Verdict allowed = authorizer_.AuthorizeRequest(web_, Get("/orders/7"), now());
  ASSERT_TRUE(allowed.permit.has_value());
  EXPECT_EQ(allowed.permit->reason(), Reason::kAllowRule);
  EXPECT_EQ(allowed.permit->deciding_rule(), 0U);
  EXPECT_FALSE(allowed.permit->Stale(authorizer_.basis()));
  Verdict denied = authorizer_.AuthorizeRequest(web_, Get("/admin"), now());
  EXPECT_FALSE(denied.permit.has_value());
}

TEST_F(AuthorizerTest, TheCallerIsTheSubjectWhateverTheRequestSays) {
  Adopt({R("mobile", Effect::kAllow, {Id(Is(kMobile))})});
  EXPECT_FALSE(authorizer_.AuthorizeRequest(web_, Get("/", kMobile), now()).permit.has_value());
  EXPECT_FALSE(
      authorizer_.AuthorizeRequest(Anonymous(), Get("/", kMobile), now()).permit.has_value());
  EXPECT_TRUE(authorizer_.AuthorizeRequest(Peer("/ns/prod/sa/mobile-ios"), Get("/", kWeb), now())
                  .permit.has_value());
}

TEST_F(AuthorizerTest, AnAnonymousCallerPassesOnlyWhereARuleSaysAnyone) {
  Adopt({R("any", Effect::kAllow, Subject::kAnyone, {Path(Is("/open"))}),
         R("authenticated", Effect::kAllow, Subject::kAuthenticated)});
  EXPECT_TRUE(authorizer_.AuthorizeRequest(Anonymous(), Get("/open"), now()).permit.has_value());
  EXPECT_FALSE(authorizer_.AuthorizeRequest(Anonymous(), Get("/x"), now()).permit.has_value());
  EXPECT_TRUE(authorizer_.AuthorizeRequest(web_, Get("/x"), now()).permit.has_value());
}

TEST_F(AuthorizerTest, APermitIsStaleWhenAnyPartOfItsBasisChanged) {
  Adopt({R("any", Effect::kAllow, Subject::kAnyone)});
  Verdict verdict = authorizer_.AuthorizeRequest(web_, Get(), now());
  ASSERT_TRUE(verdict.permit.has_value());
  const VerdictBasis basis = authorizer_.basis();
  EXPECT_FALSE(verdict.permit->Stale(basis));
  for (auto part :
       {&VerdictBasis::policy, &VerdictBasis::svid, &VerdictBasis::bundle, &VerdictBasis::crl}) {
    VerdictBasis changed = basis;
    changed.*part += 1;
    EXPECT_TRUE(verdict.permit->Stale(changed));
  }
}

TEST_F(AuthorizerTest, MovingFromAPermitSpendsIt) {
  Adopt({R("any", Effect::kAllow, Subject::kAnyone)});
  Verdict verdict = authorizer_.AuthorizeRequest(web_, Get(), now());
  Permit taken = *std::move(verdict.permit);
  EXPECT_FALSE(taken.Stale(authorizer_.basis()));
  // NOLINTNEXTLINE(bugprone-use-after-move): that it is spent is what this test is about.
  EXPECT_TRUE(verdict.permit->Stale(authorizer_.basis()));
}

TEST_F(AuthorizerTest, APeerWhoseProofHasEndedIsDenied) {
  Adopt({R("any", Effect::kAllow, Subject::kAnyone)});
  EXPECT_TRUE(authorizer_.AuthorizeRequest(web_, Get(), now()).permit.has_value());
  Verdict late = authorizer_.AuthorizeRequest(web_, Get(), web_.not_after());
  EXPECT_FALSE(late.permit.has_value());
  EXPECT_EQ(late.decision.reason, Reason::kNotReady);
}

TEST_F(AuthorizerTest, R14AConnectionsViewNeverOutlivesItsPolicy) {
  Adopt({R("web", Effect::kAllow, {Id(Is(kWeb))})});
  ConnectionView view;
  EXPECT_TRUE(authorizer_.AuthorizeRequest(web_, Get(), now(), &view).permit.has_value());
  EXPECT_TRUE(authorizer_.AuthorizeRequest(web_, Get(), now(), &view).permit.has_value());
  Adopt({R("mobile", Effect::kAllow, {Id(Is(kMobile))})}, 2);
  EXPECT_FALSE(authorizer_.AuthorizeRequest(web_, Get(), now(), &view).permit.has_value());
  Adopt({R("web", Effect::kAllow, {Id(Is(kWeb))})}, 3);
  EXPECT_TRUE(authorizer_.AuthorizeRequest(web_, Get(), now(), &view).permit.has_value());
}

TEST_F(AuthorizerTest, AConnectionIsJudgedWithoutHttpFields) {
  Adopt({R("web", Effect::kAllow, {Id(Is(kWeb))}),
         R("no", Effect::kDeny, {Id(Is(kMobile))}, {Path(Is("/admin"))})});
  EXPECT_TRUE(authorizer_.AuthorizeConnection(web_, Get("/x"), now()).permit.has_value());
  EXPECT_FALSE(authorizer_.AuthorizeConnection(Peer("/ns/prod/sa/mobile-ios"), Get("/x"), now())
                   .permit.has_value());
}

TEST_F(AuthorizerTest, AnUnmatchedTrialIsAPermitWithItsOwnReason) {
  AccessPolicy policy = P("p", {});
  policy.unmatched_dry_run_until = now() + std::chrono::hours(1);
  auto compiled = CompiledPolicy::Compile(Sets({S("s", {policy})}));
  ASSERT_TRUE(compiled.ok());
  authorizer_.Adopt(*compiled, {.policy = 1});
  Verdict verdict = authorizer_.AuthorizeRequest(web_, Get(), now());
  ASSERT_TRUE(verdict.permit.has_value());
  EXPECT_EQ(verdict.permit->reason(), Reason::kUnmatchedTrial);
}

class OutboundTest : public AuthorizerTest {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    left_.Reset(fds[0]);
    right_.Reset(fds[1]);
    Adopt({});
  }
  identity::LocalCaller Me() { return identity::LocalCaller::FromUnixSocket(left_.get()).value(); }
  Verdict Outbound(std::optional<uint32_t> uid, const Matcher& from) {
    auto workload = identity::SpiffeId::Parse(kWeb).value();
    auto reach = Reach::Create(uid, workload, std::vector<Matcher>{from});
    EXPECT_TRUE(reach.ok()) << reach.status();
    return authorizer_.AuthorizeOutbound(Me(), *reach);
  }
  Fd left_, right_;
};

TEST_F(OutboundTest, TheApplicationsOwnUidReachesServicesThatNameItsWorkload) {
  Verdict verdict = Outbound(getuid(), Is(kWeb));
  ASSERT_TRUE(verdict.permit.has_value());
  EXPECT_EQ(verdict.permit->reason(), Reason::kLocalCaller);
  EXPECT_TRUE(Outbound(getuid(), Re2("spiffe://shop\\.example/.*/web")).permit.has_value());
}

TEST_F(OutboundTest, OtherUidsAndServicesThatDoNotNameTheWorkloadAreRefused) {
  for (const Verdict& verdict :
       {Outbound(getuid() + 1, Is(kWeb)), Outbound(std::nullopt, Is(kWeb)),
        Outbound(getuid(), Is(kMobile)), Outbound(getuid(), Under(kWeb.substr(0, 28)))}) {
    EXPECT_FALSE(verdict.permit.has_value());
    EXPECT_EQ(verdict.decision.reason, Reason::kLocalCallerRefused);
  }
  auto workload = identity::SpiffeId::Parse(kWeb).value();
  EXPECT_FALSE(Reach::Create(1, workload, std::vector<Matcher>{Re2("(")}).ok());
  EXPECT_FALSE(Reach::Create(1, workload, {})->names_workload());
}

TEST_F(AuthorizerTest, OnlyAnExemptProbePassesWithoutPolicy) {
  std::vector<ProbeExemption> exemptions = {{"/healthz", {Cidr(V4(10, 0, 0, 0), 8).range}}};
  auto probe = [&](auto change) {
    CanonicalRequest request = Get("/healthz", "");
    change(request);
    return authorizer_.AuthorizeProbe(request, exemptions).permit.has_value();
  };
  EXPECT_TRUE(probe([](auto&) {}));
  EXPECT_FALSE(probe([](auto& r) { r.path = "/healthz/"; }));
  EXPECT_FALSE(probe([](auto& r) { r.path = "/healthz/x"; }));
  EXPECT_FALSE(probe([](auto& r) { r.method = "HEAD"; }));
  EXPECT_FALSE(probe([](auto& r) { r.peer_ip = V4(11, 0, 0, 1); }));
  EXPECT_FALSE(probe([](auto& r) { r.peer_ip.reset(); }));
  EXPECT_FALSE(probe([](auto& r) { r.kind = RequestKind::kTcp; }));
  EXPECT_FALSE(authorizer_.AuthorizeProbe(Get("/healthz"), {}).permit.has_value());
  EXPECT_EQ(authorizer_.AuthorizeProbe(Get("/healthz"), exemptions).permit->reason(),
            Reason::kProbe);
}

}  // namespace
}  // namespace countersign::authz::testing
