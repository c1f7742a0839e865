#include "authz/prove/assertion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/prove/who_can.h"
#include "authz/prove/witness.h"
#include "tests/authz/prove/yaml_sets.h"

namespace countersign::authz::prove {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kBillingRefunds[] =
    "    - name: refunds\n      effect: allow\n"
    "      from: [{ id: spiffe://shop.example/ns/prod/sa/billing }]\n"
    "      to: [{ path: /refunds/** }]\n";
constexpr char kNeverByOthers[] =
    "  never:\n    from: { allExcept: [{ id: spiffe://shop.example/ns/prod/sa/billing }] }\n"
    "    to: [{ path: /refunds/** }]\n";

AssertionResult Check(const std::string& rules, const std::string& assertion) {
  auto results = CheckAssertions(ShopSet(rules, AssertionDocument(assertion)), {});
  EXPECT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->size(), 1U);
  EXPECT_TRUE(results->front().status.ok()) << results->front().status;
  return results->front();
}

TEST(AssertionTest, NeverHoldsWhereOnlyTheExceptedCallerIsAllowed) {
  EXPECT_TRUE(Check(kBillingRefunds, kNeverByOthers).holds());
}

TEST(AssertionTest, NeverIsViolatedByARequestAndItsRule) {
  AssertionResult result =
      Check(Concat(kBillingRefunds, "    - name: wide\n      effect: allow\n      from: anyone\n",
                   "      to: [{ path: { prefix: /ref } }]\n"),
            kNeverByOthers);
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_EQ(result.violation->judgement.rule, "shop/p/wide");
  EXPECT_NE(result.violation->request.caller, "spiffe://shop.example/ns/prod/sa/billing");
  EXPECT_THAT(result.violation->request.path, ::testing::StartsWith("/refunds"));
}

TEST(AssertionTest, AllExceptHoldsCallersWithoutIdentity) {
  AssertionResult result =
      Check(Concat(kBillingRefunds, "    - name: nameless\n      effect: allow\n",
                   "      from: [{ id: { present: false } }]\n      to: [{ methods: [GET] }]\n"),
            kNeverByOthers);
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_EQ(result.violation->request.caller, "");
}

TEST(AssertionTest, ADenyMakesNeverHold) {
  EXPECT_TRUE(Check("    - name: all\n      effect: allow\n      from: anyone\n"
                    "    - name: no\n      effect: deny\n"
                    "      from: [{ id: { present: false } }, { id: { re2: '.*' } }]\n"
                    "      to: [{ protocol: http, path: { under: /refunds } }]\n",
                    "  never:\n    from: anyone\n    to: [{ path: /refunds/** }]\n")
                  .holds());
}

TEST(AssertionTest, AlwaysIsViolatedByAGapBetweenRules) {
  const char kRules[] =
      "    - name: low\n      effect: allow\n      from: mesh\n"
      "      to: [{ path: { re2: '/o/[0-4]' } }]\n"
      "    - name: high\n      effect: allow\n      from: mesh\n"
      "      to: [{ path: { re2: '/o/[6-9]' } }]\n";
  AssertionResult result =
      Check(kRules, "  always:\n    from: mesh\n    to: [{ path: { re2: '/o/[0-9]' } }]\n");
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_EQ(result.violation->request.path, "/o/5");
  EXPECT_EQ(result.violation->judgement.reason, Reason::kNoRuleMatched);
  EXPECT_TRUE(
      Check(kRules, "  always:\n    from: mesh\n    to: [{ path: { re2: '/o/[0-46-9]' } }]\n")
          .holds());
}

TEST(AssertionTest, OnlyNamesTheCallerThatIsNotAmongThem) {
  const std::string kOnly =
      "  only:\n    from: [{ id: { under: spiffe://shop.example/people } }]\n"
      "    to: [{ path: /admin/** }]\n";
  EXPECT_TRUE(Check("    - name: a\n      effect: allow\n"
                    "      from: [{ id: spiffe://shop.example/people/ana }]\n",
                    kOnly)
                  .holds());
  AssertionResult result = Check(
      "    - name: a\n      effect: allow\n"
      "      from: [{ id: { prefix: spiffe://shop.example/people } }]\n",
      kOnly);
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_THAT(result.violation->request.caller,
              ::testing::StartsWith("spiffe://shop.example/people"));
}

TEST(AssertionTest, ARegionWithAnHttpFieldHoldsNoRawConnection) {
  EXPECT_TRUE(Check("    - name: raw\n      effect: allow\n      from: anyone\n"
                    "      to: [{ protocol: tcp }]\n",
                    kNeverByOthers)
                  .holds());
  EXPECT_FALSE(Check("    - name: raw\n      effect: allow\n      from: anyone\n"
                     "      to: [{ protocol: tcp }]\n",
                     "  never:\n    from: anyone\n")
                   .holds());
}

TEST(AssertionTest, MeshIsJudgedByTheTrustDomainsThatCalleeAndCallerCanHave) {
  const char kMeshOnly[] = "    - name: m\n      effect: allow\n      from: mesh\n";
  EXPECT_TRUE(Check(kMeshOnly, "  never:\n    from: [{ trustDomain: partner.example }]\n").holds());
  EXPECT_TRUE(Check(kMeshOnly, "  always:\n    from: [{ trustDomain: shop.example }]\n").holds());
  AssertionResult result =
      Check(kMeshOnly, "  always:\n    from: [{ trustDomain: { suffix: shop.example } }]\n");
  ASSERT_TRUE(result.violation.has_value());
  EXPECT_THAT(result.violation->request.caller, HasSubstr("shop.example"));
  EXPECT_THAT(result.violation->request.caller, ::testing::Not(HasSubstr("//shop.example")));
}

TEST(AssertionTest, ALimitIsNeverAProof) {
  ProveOptions options;
  options.limits.cells_max = 0;
  auto results =
      CheckAssertions(ShopSet(kBillingRefunds, AssertionDocument(kNeverByOthers)), options);
  ASSERT_TRUE(results.ok());
  EXPECT_FALSE(results->front().holds());
  EXPECT_EQ(results->front().status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(results->front().status)), HasSubstr("cells_max"));
}

TEST(WhoCanTest, ListsAllThatIsAllowedUnderAPath) {
  PolicyAssertion part;
  part.subject = Subject::kAnyone;
  Condition& path = part.to.emplace_back().all_of.emplace_back();
  path.field = Field::kPath;
  path.any_of.push_back({.kind = Matcher::Kind::kUnder, .text = "/refunds/eu", .range = {}});
  auto report = WhoCan(ShopSet(kBillingRefunds), part, {});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->regions.size(), 1U);
  EXPECT_THAT(report->regions[0].conditions,
              ElementsAre("workload under spiffe://shop.example/ns/prod",
                          "caller spiffe://shop.example/ns/prod/sa/billing",
                          "path under /refunds/eu", "protocol http"));
  EXPECT_EQ(RequestText(report->regions[0].request),
            "{ caller: spiffe://shop.example/ns/prod/sa/billing, workload: "
            "spiffe://shop.example/ns/prod, method: GET, path: /refunds/eu }");
}

}  // namespace
}  // namespace countersign::authz::prove
