// Coverage of policies by their tests, and the boundary cases that are generated.
#include "authz/check/coverage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/check/generate.h"
#include "authz/engine/naive_authorizer.h"

namespace countersign::authz {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

WallTime Now() { return *ParseTime("2030-01-01T00:00:00Z"); }

std::string Policies(std::string_view rules) {
  return Concat(
      "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: s }\n"
      "spec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td/ns } }\n"
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec:\n  appliesTo: { id: spiffe://td/ns/w }\n  rules:\n",
      rules);
}
std::string Tests(const std::vector<std::string_view>& cases) {
  std::string out =
      "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicyTest\nmetadata: { name: t }\n"
      "spec:\n  cases:\n";
  size_t number = 0;
  for (std::string_view one : cases) {
    out += Concat("    - { name: c", ++number, ", ", one, " }\n");
  }
  return out;
}
std::string Asks(std::string_view request, std::string_view expect) {
  return Concat("request: { workload: spiffe://td/ns/w, ", request, " }, expect: ", expect);
}

PolicySets LoadAll(const std::string& text) {
  std::vector<SourceFile> files = {{"f.yaml", text}};
  LoadResult result = Load(files);
  for (const Diagnostic& diagnostic : result.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic) << "\n" << text;
  }
  return result.sets;
}

CoverageReport Measure(const std::string& text) {
  PolicySets sets = LoadAll(text);
  TestReport tests = RunPolicyTests(sets, Now());
  for (const Diagnostic& diagnostic : tests.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  auto report = MeasureCoverage(sets, tests.cases, Now());
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : CoverageReport();
}

// "hfio" for held, failed, inside, outside; '-' for what was not seen.
std::string Sides(const PredicateCoverage& each) {
  return Concat(each.predicate, " ", each.held ? "h" : "-", each.failed ? "f" : "-",
                each.inside ? "i" : "-", each.outside ? "o" : "-");
}
std::vector<std::string> Sides(const CoverageReport& report) {
  std::vector<std::string> out;
  for (const PredicateCoverage& each : report.predicates) {
    out.push_back(Sides(each));
  }
  return out;
}

constexpr std::string_view kReads =
    "    - { name: reads, effect: allow, from: [{ id: spiffe://td/a }],"
    " to: [{ methods: [GET], path: '/x/{id}' }] }\n";

TEST(CoverageTest, WithoutTestsNothingIsCovered) {
  CoverageReport report = Measure(Policies(kReads));
  ASSERT_EQ(report.rules.size(), 1u);
  EXPECT_EQ(report.rules[0].rule, "s/p/reads");
  EXPECT_EQ(report.rules[0].matched, 0u);
  EXPECT_THAT(Sides(report), ElementsAre("from id ----", "to methods ----", "to path ----"));
  EXPECT_EQ(report.RulePercent() + report.FieldPercent() + report.BoundaryPercent(), 0u);
}

TEST(CoverageTest, ACaseThatMatchesShowsTheInsideOfEveryPredicate) {
  CoverageReport report = Measure(
      Policies(kReads) + Tests({Asks("caller: spiffe://td/a, method: GET, path: /x/1", "allow")}));
  EXPECT_EQ(report.rules[0].matched, 1u);
  EXPECT_EQ(report.rules[0].decided, 1u);
  EXPECT_THAT(Sides(report), ElementsAre("from id h-i-", "to methods h-i-", "to path h-i-"));
  EXPECT_EQ(report.RulePercent(), 100u);
  EXPECT_EQ(report.FieldPercent(), 50u);
  EXPECT_EQ(report.BoundaryPercent(), 50u);
}

TEST(CoverageTest, OutsideMeansThatThisPredicateAloneFailed) {
  CoverageReport report = Measure(
      Policies(kReads) + Tests({Asks("caller: spiffe://td/b, method: GET, path: /x/1", "deny"),
                                Asks("caller: spiffe://td/a, method: PUT, path: /y", "deny")}));
  EXPECT_THAT(Sides(report), ElementsAre("from id hf-o", "to methods hf--", "to path hf--"));
  EXPECT_EQ(report.RulePercent(), 0u);
}

TEST(CoverageTest, OtherWorkloadsShowNothing) {
  CoverageReport report = Measure(
      Policies(kReads) +
      Tests(
          {"request: { workload: spiffe://td/ns/v, caller: spiffe://td/a, method: GET, path: /x/1 "
           "}, expect: deny"}));
  EXPECT_THAT(Sides(report), ElementsAre("from id ----", "to methods ----", "to path ----"));
}

TEST(CoverageTest, RefusedAndAmbiguousRequestsShowNothing) {
  std::string rule =
      "    - { name: r, effect: allow, from: anyone, when: { headers: { h: v } } }\n";
  CoverageReport report = Measure(
      Policies(rule) + Tests({Asks("method: GET, path: '/%00', headers: { h: v }", "deny"),
                              Asks("method: GET, path: /, headers: { h: [v, v] }", "deny")}));
  EXPECT_THAT(Sides(report), ElementsAre("when headers h ----"));
}

TEST(CoverageTest, ExceptionsAndWordsArePredicatesToo) {
  std::string rules =
      "    - { name: r, effect: allow, from: [{ id: { under: spiffe://td }, "
      "except: { peerIp: 10.9.0.0/16 } }] }\n"
      "    - { name: d, effect: deny, from: mesh, to: [{ path: /d }] }\n";
  CoverageReport report = Measure(
      Policies(rules) +
      Tests({Asks("caller: spiffe://td/a, peerIp: 10.8.0.1, method: GET, path: /", "allow"),
             Asks("caller: spiffe://td/a, peerIp: 10.9.0.1, method: GET, path: /", "deny"),
             Asks("caller: spiffe://x/a, peerIp: 10.9.0.1, method: GET, path: /d", "deny"),
             Asks("caller: spiffe://td/a, peerIp: 10.8.0.1, method: GET, path: /d", "deny")}));
  EXPECT_THAT(Sides(report),
              ElementsAre("from mesh hfio", "to path hfio", "from id hfi-", "from except hfio"));
}

TEST(CoverageTest, APolicyOnTrialIsCoveredAsIfItWereNone) {
  std::string text = Policies(kReads);
  text.replace(text.find("  rules:"), 8, "  dryRun: true\n  rules:");
  CoverageReport report =
      Measure(text + Tests({Asks("caller: spiffe://td/a, method: GET, path: /x/1", "deny")}));
  EXPECT_EQ(report.rules[0].matched, 1u);
  EXPECT_EQ(report.rules[0].decided, 0u);
}

TEST(CoverageTest, TwoEntriesAreTwoBorders) {
  std::string rule =
      "    - { name: r, effect: allow, from: anyone, to: [{ path: /a, methods: [GET] }, "
      "{ path: /b, methods: [PUT] }] }\n";
  CoverageReport report = Measure(Policies(rule) + Tests({Asks("method: GET, path: /a", "allow")}));
  EXPECT_THAT(Sides(report),
              ElementsAre("to methods h-i-", "to path h-i-", "to methods -f--", "to path -f--"));
}

// What a set's document adds is loaded beside it.
CoverageReport MeasureWithGenerated(const std::string& text) {
  auto generated = GenerateTests(LoadAll(text), Now());
  EXPECT_TRUE(generated.ok()) << generated.status();
  std::string all = text;
  for (const GeneratedTests& tests : *generated) {
    EXPECT_THAT(tests.without_request, IsEmpty());
    all += tests.cases > 0 ? "---\n" + tests.yaml : "";
  }
  return Measure(all);  // Measure expects that every case passes.
}

TEST(GenerateTest, CasesLoadPassAndShowBothSidesOfEveryPredicate) {
  for (std::string_view rule : {
           "from: [{ id: spiffe://td/a }], to: [{ methods: [GET], path: '/x/{id}' }]",
           "from: [{ id: { under: spiffe://td/a } }]",
           "from: [{ id: { prefix: 'spiffe://td/a' } }], to: [{ path: { prefix: /a } }]",
           "from: [{ id: { re2: 'spiffe://td/sa/mobile-[a-z]+' } }], to: [{ path: /x/** }]",
           "from: [{ trustDomain: other }], to: [{ host: { suffix: .shop } }]",
           "from: [{ peerIp: [10.0.0.0/8, 'fd00::/8'] }], to: [{ port: [80, 443] }]",
           "from: mesh, to: [{ sni: orders }]",
           "from: authenticated, to: [{ protocol: tcp, port: 5432 }]",
           "from: anyone, to: [{ path: { re2: '/v[0-9]{1,3}/status' } }]",
           "from: anyone, to: [{ grpc: { service: a.B, methods: [Get, List] } }]",
           "from: anyone, when: { headers: { h: { re2: '[a-z]{2,4}' } }, query: { q: v } }",
           "from: anyone, when: { headers: { h: { present: true } } }",
           "from: anyone, when: { query: { debug: { present: false } } }",
           "from: [{ id: { present: false } }]",
       }) {
    std::string text = Policies(Concat("    - { name: r, effect: allow, ", rule, " }\n"));
    CoverageReport report = MeasureWithGenerated(text);
    EXPECT_EQ(report.RulePercent(), 100u) << rule;
    EXPECT_EQ(report.FieldPercent(), 100u) << rule << testing::PrintToString(Sides(report));
    EXPECT_EQ(report.BoundaryPercent(), 100u) << rule << testing::PrintToString(Sides(report));
  }
}

TEST(GenerateTest, EveryEntryHasBordersOfItsOwn) {
  std::string text = Policies(
      "    - { name: r, effect: allow, "
      "from: [{ id: spiffe://td/a }, { id: { under: spiffe://td/b }, except: { peerIp: 10.9.0.0/16 "
      "} }], "
      "to: [{ methods: [GET, HEAD], path: '/x/{id}' }, { grpc: { service: a.B, methods: [Get] } }] "
      "}\n");
  CoverageReport report = MeasureWithGenerated(text);
  EXPECT_EQ(report.BoundaryPercent(), 100u) << testing::PrintToString(Sides(report));
}

TEST(GenerateTest, ExceptionsHaveBordersOfTheirOwn) {
  std::string text = Policies(
      "    - { name: r, effect: allow, from: [{ id: { under: spiffe://td }, "
      "except: { id: { under: spiffe://td/old } } }], "
      "to: [{ path: /a/**, except: { path: /a/secret/** } }] }\n");
  CoverageReport report = MeasureWithGenerated(text);
  EXPECT_EQ(report.BoundaryPercent(), 100u) << testing::PrintToString(Sides(report));
}

TEST(GenerateTest, VerdictsAreThoseOfAllSetsAndNameTheirRule) {
  std::string guardrail =
      "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: g }\n"
      "spec: { owner: { id: spiffe://td/eve }, guardrail: true }\n"
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec: { appliesTo: all, rules: [{ name: x, effect: deny, from: anyone, to: [{ path: /x/** "
      "}] }] }\n";
  auto generated = GenerateTests(LoadAll(Policies(kReads) + guardrail), Now());
  ASSERT_TRUE(generated.ok()) << generated.status();
  ASSERT_EQ(generated->size(), 2u);
  EXPECT_THAT((*generated)[1].yaml, HasSubstr("rule: g/p/x"));
  EXPECT_THAT((*generated)[1].yaml, testing::Not(HasSubstr("expect: allow")));
}

TEST(GenerateTest, WhatTheTestsHaveAlreadyIsNotWrittenAgain) {
  std::string text = Policies(kReads);
  auto first = GenerateTests(LoadAll(text), Now());
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->size(), 1u);
  EXPECT_GE((*first)[0].cases, 5u);
  std::string yaml = (*first)[0].yaml;
  auto second = GenerateTests(LoadAll(text + "---\n" + yaml), Now());
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->empty() || (*second)[0].cases == 0) << (*second)[0].yaml;
}

TEST(GenerateTest, ARuleThatNoRequestMatchesIsSaidToBeOne) {
  auto generated = GenerateTests(
      LoadAll(Policies("    - { name: r, effect: allow, from: [{ id: spiffe://td/a, trustDomain: "
                       "other }] }\n")),
      Now());
  ASSERT_TRUE(generated.ok());
  ASSERT_EQ(generated->size(), 1u);
  EXPECT_THAT((*generated)[0].without_request, ElementsAre("s/p/r"));
  EXPECT_EQ((*generated)[0].cases, 0u);
}

}  // namespace
}  // namespace countersign::authz
