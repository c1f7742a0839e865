// What sets say together: lines 1, 4, 5 and 11 to 13 of the semantics, as authors write them.
#include <gmock/gmock.h>

#include "authz/check/evaluate.h"
#include "tests/authz/semantics/judge.h"

namespace countersign::authz::testing {
namespace {

using ::testing::HasSubstr;

std::string Guardrail(std::string_view rules) {
  return Concat(
      "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: g }\n"
      "spec: { owner: { id: spiffe://td/eve }, guardrail: true }\n"
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec: { appliesTo: all, rules: [",
      rules, "] }\n");
}

constexpr std::string_view kAllowAll =
    "  appliesTo: all\n  rules: [{ name: all, effect: allow, from: anyone }]\n";
constexpr std::string_view kDenyX =
    "  appliesTo: all\n  rules: [{ name: x, effect: deny, from: anyone, to: [{ path: /x }] }]\n";

TEST(Semantics1Test, ADenyWinsThenAnAllowThenItIsDenied) {
  std::string both = Set("a", kAllowAll) + Set("b", kDenyX);
  std::string other_order = Set("a", kDenyX) + Set("b", kAllowAll);
  ExpectVerdicts({
      {"no policy", "", "", "deny (no_policy)"},
      {"a deny of another set wins", both, "path: /x", "deny by b/p/x"},
      {"whatever the order", other_order, "path: /x", "deny by a/p/x"},
      {"else an allow admits", both, "path: /y", "allow by a/p/all"},
      {"else it is denied", Set("b", kDenyX), "path: /y", "deny (no_rule_matched)"},
  });
}

TEST(Semantics1Test, AnAllowCountsWithinItsScopeAndAGuardrailEverywhere) {
  std::string guarded = Set("a", kAllowAll) +
                        Guardrail("{ name: x, effect: deny, from: anyone, to: [{ path: /x }] }");
  ExpectVerdicts({
      {"inside the scope", Set("a", kAllowAll), "workload: spiffe://td/ns/w", "allow by a/p/all"},
      {"beside the scope", Set("a", kAllowAll), "workload: spiffe://td/ns2/w", "deny (no_policy)"},
      {"of another domain", Set("a", kAllowAll), "workload: spiffe://td2/ns/w", "deny (no_policy)"},
      {"a guardrail wins over a set", guarded, "path: /x", "deny by g/p/x"},
      {"a guardrail allows nothing by itself", guarded, "path: /x, workload: spiffe://else/w",
       "deny by g/p/x"},
      {"and what it does not deny is for the sets", guarded, "path: /y", "allow by a/p/all"},
  });
}

TEST(Semantics1Test, APolicyGuardsWhatItAppliesTo) {
  std::string policy =
      "  appliesTo: [{ id: spiffe://td/ns/a }, { under: spiffe://td/ns/b }]\n"
      "  rules: [{ name: all, effect: allow, from: anyone }]\n";
  ExpectVerdicts({
      {"the id", Set("s", policy), "workload: spiffe://td/ns/a", "allow by s/p/all"},
      {"below the id", Set("s", policy), "workload: spiffe://td/ns/a/x", "deny (no_policy)"},
      {"under", Set("s", policy), "workload: spiffe://td/ns/b/x", "allow by s/p/all"},
      {"beside", Set("s", policy), "workload: spiffe://td/ns/b2", "deny (no_policy)"},
  });
}

TEST(Semantics4Test, ABrokenSetIsRefusedWholeAndOthersStay) {
  std::vector<SourceFile> files = {
      {"a/set.yaml", Set("a", kAllowAll)},
      {"b/set.yaml", Set("b", "  appliesTo: all\n  rules: [{ name: x, effect: deny }]\n")}};
  LoadResult loaded = Load(files);
  ASSERT_EQ(loaded.sets.size(), 1u);
  EXPECT_EQ(loaded.sets[0]->name, "a");
  EXPECT_FALSE(loaded.ok());
}

TEST(Semantics11Test, AllMatchedRulesAreKnownAndTheNearestAllowWithItsFirstFailure) {
  std::string policies = Rules({"effect: allow, from: [{ id: spiffe://td/a }], to: [{ path: /x }]",
                                "effect: deny, from: anyone, to: [{ path: /x }]",
                                "effect: allow, from: [{ id: spiffe://td/b }], "
                                "to: [{ methods: GET, path: /y }]"});
  std::vector<SourceFile> files = {{"f.yaml", policies}};
  auto sets = Load(files).sets;
  auto judge = [&](std::string_view request) {
    auto typed = LoadTestRequest({"request", std::string(request)});
    EXPECT_TRUE(typed.ok()) << typed.status();
    return *EvaluateRequest(sets, *typed, *ParseTime(kNow));
  };
  Evaluation denied =
      judge("{ caller: spiffe://td/a, workload: spiffe://td/ns/w, method: GET, path: /x }");
  ASSERT_EQ(denied.explanation.matched.size(), 2u);
  EXPECT_EQ(denied.explanation.deciding->Name(), "s/p/r2");
  Evaluation missed =
      judge("{ caller: spiffe://td/b, workload: spiffe://td/ns/w, method: PUT, path: /y }");
  ASSERT_TRUE(missed.explanation.nearest_miss.has_value());
  EXPECT_EQ(missed.explanation.nearest_miss->rule.Name(), "s/p/r3");
  EXPECT_EQ(missed.explanation.nearest_miss->field, Field::kMethod);
  Evaluation allowed =
      judge("{ caller: spiffe://td/b, workload: spiffe://td/ns/w, method: GET, path: /y }");
  EXPECT_TRUE(allowed.allowed());
  EXPECT_FALSE(allowed.explanation.nearest_miss.has_value());
}

TEST(Semantics12Test, APolicyOnTrialDecidesNothing) {
  std::string trial = Set("t",
                          "  appliesTo: all\n  dryRun: true\n"
                          "  rules: [{ name: no, effect: deny, from: anyone }]\n");
  std::string allow_on_trial = Set("t",
                                   "  appliesTo: all\n  dryRun: true\n"
                                   "  rules: [{ name: yes, effect: allow, from: anyone }]\n");
  ExpectVerdicts({
      {"a deny on trial", Set("a", kAllowAll) + trial, "", "allow by a/p/all"},
      {"an allow on trial", allow_on_trial, "", "deny (no_policy)"},
  });
}

TEST(Semantics12Test, UnmatchedLetsThroughUntilItsDateAndNoDeny) {
  std::string policies =
      Set("a",
          "  appliesTo: { under: spiffe://td/ns/w }\n"
          "  unmatched: { dryRun: true, until: 2030-06-02 }\n"
          "  rules: [{ name: x, effect: deny, from: anyone, to: [{ path: /x }] },"
          " { name: y, effect: allow, from: anyone, to: [{ path: /y }] }]\n");
  EXPECT_EQ(Judge(policies, "path: /z"), "allow (unmatched_trial)");
  EXPECT_EQ(Judge(policies, "path: /x"), "deny by a/p/x");
  EXPECT_EQ(Judge(policies, "path: /y"), "allow by a/p/y");
  EXPECT_EQ(Judge(policies, "path: /z, workload: spiffe://td/ns/v"), "deny (no_policy)");
  EXPECT_EQ(Judge(policies, "path: /z", "2030-06-01T23:59:59Z"), "allow (unmatched_trial)");
  EXPECT_EQ(Judge(policies, "path: /z", "2030-06-02T00:00:00Z"), "deny (no_rule_matched)");
}

TEST(Semantics12Test, AnAllowThatExpiredIsNotThere) {
  std::string policies = Allow("from: anyone, expires: 2030-06-02");
  EXPECT_EQ(Judge(policies, "", "2030-06-01T23:59:59Z"), kAllowed);
  EXPECT_EQ(Judge(policies, "", "2030-06-02T00:00:00Z"), kUnmatched);
}

std::string DigestOf(const std::string& policies) {
  std::vector<SourceFile> files = {{"f.yaml", policies}};
  LoadResult loaded = Load(files);
  return loaded.sets.size() == 1 ? loaded.sets[0]->digest : "";
}

TEST(Semantics13Test, TheDigestKnowsMeaningAndNamesOnly) {
  std::string rule =
      "from: [{ id: [spiffe://td/a, spiffe://td/b] }], to: [{ methods: [GET, PUT] }]";
  std::string digest = DigestOf(Allow(rule));
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(DigestOf("# a comment\n" + Allow("to: [{ methods: [PUT, GET] }],   from: [{ id: "
                                             "[spiffe://td/b, spiffe://td/a] }]")),
            digest);
  for (const std::string& other :
       {Allow("from: [{ id: spiffe://td/a }], to: [{ methods: [GET, PUT] }]"),
        Allow("from: [{ id: [spiffe://td/a, spiffe://td/b] }], to: [{ methods: [GET] }]"),
        Rules({Concat("effect: deny, ", rule)}), Allow(Concat(rule, ", expires: 2031-01-01"))}) {
    EXPECT_NE(DigestOf(other), digest) << other;
    EXPECT_NE(DigestOf(other), "") << other;
  }
}

}  // namespace
}  // namespace countersign::authz::testing
