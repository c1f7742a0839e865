// Policy tests pass and fail for the reasons that their authors expect.
#include "authz/check/policy_test_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace countersign::authz {
namespace {

using testing::HasSubstr;

WallTime Now() { return *ParseTime("2027-01-01T00:00:00Z"); }

constexpr std::string_view kPolicies = R"(
apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: shop }
spec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td } }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders }
spec:
  appliesTo: spiffe://td/orders
  rules:
    - name: reads
      effect: allow
      from: [{ id: spiffe://td/web }]
      to: [{ methods: [GET], path: '/orders/{id}' }]
    - name: old
      effect: allow
      from: [{ id: spiffe://td/old }]
      expires: 2026-12-31
    - name: purges
      effect: deny
      from: anyone
      to: [{ protocol: http, methods: [DELETE] }]
    - name: purges-one
      effect: deny
      from: anyone
      to: [{ protocol: http, methods: [DELETE], path: '/orders/{id}' }]
---
apiVersion: countersign.dev/v1alpha1
kind: PolicyTest
metadata: { name: t }
spec:
  cases:
)";

TestReport RunCase(std::string_view request, std::string_view expectation) {
  std::vector<SourceFile> files = {
      {"set.yaml",
       Concat(kPolicies, "    - name: c\n      request: { workload: spiffe://td/orders, ", request,
              " }\n      ", expectation, "\n")}};
  LoadResult loaded = Load(files);
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  return RunPolicyTests(loaded.sets, Now());
}

TEST(PolicyTestRunnerTest, PassesWhatIsExpected) {
  struct Row {
    const char* request;
    const char* expectation;
    const char* reason;
  };
  const Row rows[] = {
      {"caller: spiffe://td/web, method: GET, path: /orders/7",
       "expect: allow\n      rule: shop/orders/reads", "allow_rule"},
      {"caller: spiffe://td/web, method: GET, path: '/a/../%6frders//7'", "expect: allow",
       "allow_rule"},
      {"caller: spiffe://td/web, method: DELETE, path: /orders/7",
       "expect: deny\n      rule: shop/orders/purges", "deny_rule"},
      {"caller: spiffe://td/web, method: GET, path: '/orders/7%2F8'", "expect: deny",
       "bad_request: encoded_slash"},
      {"caller: spiffe://td/web, method: GET, path: /orders/7, host: 'a b'", "expect: deny",
       "bad_request: bad_host"},
      {"method: GET, path: /orders/7", "expect: deny", "no_rule_matched"},
      {"caller: spiffe://td/old, method: GET, path: /", "expect: deny", "no_rule_matched"},
      {"kind: tcp, caller: spiffe://td/web, port: 1", "expect: deny", "no_rule_matched"},
  };
  for (const Row& row : rows) {
    TestReport report = RunCase(row.request, row.expectation);
    ASSERT_EQ(report.cases.size(), 1u) << row.request;
    EXPECT_TRUE(report.ok()) << row.request << FormatDiagnostic(report.diagnostics.at(0));
    EXPECT_EQ(report.cases[0].reason, row.reason) << row.request;
  }
}

TEST(PolicyTestRunnerTest, AFailureNamesPlaceVerdictRuleAndNearestMiss) {
  TestReport report = RunCase("caller: spiffe://td/web, method: POST, path: /orders/7",
                              "expect: allow\n      rule: shop/orders/reads");
  ASSERT_EQ(report.diagnostics.size(), 1u);
  EXPECT_EQ(report.failed(), 1u);
  EXPECT_EQ(report.diagnostics[0].where.line, 35u);
  std::string text = FormatDiagnostic(report.diagnostics[0]);
  EXPECT_THAT(text, HasSubstr("set.yaml:35:7: case \"c\" of policy set \"shop\": expected allow by "
                              "shop/orders/reads, got deny (no_rule_matched); nearest allow rule "
                              "shop/orders/reads fails at methods: expected "));
  EXPECT_THAT(text, HasSubstr("POST"));
}

TEST(PolicyTestRunnerTest, FailsWhenAnotherRuleDecides) {
  TestReport report = RunCase("caller: spiffe://td/web, method: GET, path: /",
                              "expect: deny\n      rule: shop/orders/purges");
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.cases.at(0).actual, Effect::kDeny);
}

TEST(PolicyTestRunnerTest, AFailureNamesEveryRuleThatMatchedAndTheExpectedOneThatDidNot) {
  TestReport denied =
      RunCase("caller: spiffe://td/web, method: DELETE, path: /orders/7", "expect: allow");
  ASSERT_EQ(denied.failed(), 1u);
  EXPECT_THAT(denied.diagnostics[0].message,
              HasSubstr("got deny by shop/orders/purges; matched too: "
                        "shop/orders/purges-one"));
  EXPECT_THAT(denied.cases[0].matched_rules,
              testing::UnorderedElementsAre("shop/orders/purges", "shop/orders/purges-one"));
  TestReport allowed = RunCase("caller: spiffe://td/web, method: GET, path: /orders/7",
                               "expect: deny\n      rule: shop/orders/purges");
  ASSERT_EQ(allowed.failed(), 1u);
  EXPECT_THAT(allowed.diagnostics[0].message,
              HasSubstr("expected deny by shop/orders/purges, got allow by shop/orders/reads; "
                        "shop/orders/purges did not match"));
}

TEST(PolicyTestRunnerTest, JudgesOverAllSetsTogether) {
  std::vector<SourceFile> files = {
      {"shop/set.yaml", Concat(kPolicies,
                               "    - name: c\n      request: { workload: spiffe://td/orders, "
                               "caller: spiffe://td/web, method: GET, path: /orders/7 }\n"
                               "      expect: allow\n")},
      {"floor/set.yaml",
       "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: floor }\n"
       "spec: { owner: { id: spiffe://td/sec }, guardrail: true }\n---\n"
       "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
       "spec: { appliesTo: all, rules: [{ name: shut, effect: deny, from: anyone }] }\n"}};
  LoadResult loaded = Load(files);
  ASSERT_TRUE(loaded.ok());
  TestReport report = RunPolicyTests(loaded.sets, Now());
  ASSERT_EQ(report.diagnostics.size(), 1u);
  EXPECT_THAT(report.diagnostics[0].message, HasSubstr("got deny by floor/p/shut"));
}

TEST(PolicyTestRunnerTest, NoSetsMeansNoCases) {
  TestReport report = RunPolicyTests({}, Now());
  EXPECT_TRUE(report.ok());
  EXPECT_TRUE(report.cases.empty());
}

TEST(PolicyTestRunnerTest, TheShippedPoliciesPass) {
  auto files = ReadSources(COUNTERSIGN_SOURCE_DIR "/policies");
  ASSERT_TRUE(files.ok()) << files.status();
  LoadResult loaded = Load(*files);
  ASSERT_TRUE(loaded.ok());
  TestReport report = RunPolicyTests(loaded.sets, Now());
  for (const Diagnostic& diagnostic : report.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  EXPECT_GE(report.cases.size(), 17u);
}

}  // namespace
}  // namespace countersign::authz
