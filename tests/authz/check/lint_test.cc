// What lint names, and what it leaves alone.
#include "authz/check/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace countersign::authz {
namespace {

using testing::HasSubstr;

constexpr std::string_view kHead = R"(apiVersion: countersign.dev/v1alpha1
kind: PolicySet
metadata: { name: s }
spec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td } }
---
apiVersion: countersign.dev/v1alpha1
kind: Service
metadata: { name: db }
spec:
  workload: { id: spiffe://td/db }
  ports:
    - { name: raw, protocol: tcp, listen: 127.0.0.1:5432, application: 127.0.0.1:1 }
    - { name: web, protocol: http, listen: 127.0.0.1:8443, application: 127.0.0.1:2 }
---
apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: p }
spec:
)";

std::string Lint(std::string_view spec) {
  std::vector<SourceFile> files = {{"f.yaml", Concat(kHead, spec)}};
  LoadResult loaded = Load(files);
  for (const Diagnostic& diagnostic : loaded.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  std::string out;
  for (const Diagnostic& finding :
       LintPolicies(loaded.sets, loaded.services, *ParseTime("2027-01-01"))) {
    out += FormatDiagnostic(finding) + "\n";
  }
  return out;
}

std::string LintRule(std::string_view applies_to, std::string_view rule) {
  return Lint(Concat("  appliesTo: ", applies_to, "\n  rules: [{ name: r, ", rule, " }]\n"));
}

TEST(LintTest, NamesTcpPortsThatAnHttpDenyCloses) {
  struct Row {
    const char* name;
    const char* applies_to;
    const char* rule;
    bool closes;
  };
  const Row rows[] = {
      {"methods", "all", "effect: deny, from: anyone, to: [{ methods: [DELETE] }]", true},
      {"path", "all", "effect: deny, from: anyone, to: [{ path: /admin }]", true},
      {"header", "all", "effect: deny, from: anyone, when: { headers: { x: y } }", true},
      {"for the port", "all", "effect: deny, from: anyone, to: [{ methods: [PUT], port: 5432 }]",
       true},
      {"for the workload", "spiffe://td/db", "effect: deny, from: mesh, to: [{ host: a }]", true},
      {"an http exception", "all",
       "effect: deny, from: anyone, to: [{ port: 5432, except: { methods: [GET] } }]", true},
      {"with protocol", "all",
       "effect: deny, from: anyone, to: [{ methods: [DELETE], protocol: http }]", false},
      {"another port", "all", "effect: deny, from: anyone, to: [{ methods: [PUT], port: 8443 }]",
       false},
      {"another workload", "spiffe://td/web", "effect: deny, from: anyone, to: [{ path: / }]",
       false},
      {"a plain deny", "all", "effect: deny, from: anyone", false},
      {"an allow", "all", "effect: allow, from: anyone, to: [{ path: / }]", false},
  };
  for (const Row& row : rows) {
    std::string findings = LintRule(row.applies_to, row.rule);
    if (row.closes) {
      EXPECT_THAT(findings, HasSubstr("f.yaml:20:11: warning: rule s/p/r denies by HTTP fields and "
                                      "so closes tcp port \"raw\" of service \"db\""))
          << row.name;
    } else {
      EXPECT_EQ(findings, "") << row.name;
    }
  }
}

TEST(LintTest, NamesDotsThatMatchAnyByte) {
  struct Row {
    const char* pattern;
    bool found;
  };
  const Row rows[] = {
      {"spiffe://shop.example/a", true},
      {"spiffe://td/[a-z].b", true},
      {"(a|b).c", true},
      {"[]a].c", true},
      {"[^]a].c", true},
      {R"(a\.b)", false},
      {"spiffe://td/.*", false},
      {"spiffe://td/.+", false},
      {"a.{1,3}", false},
      {"[.]b", false},
      {R"(\\\.b)", false},
      {"td/a?", false},
  };
  for (const Row& row : rows) {
    for (const char* field : {"id", "trustDomain"}) {
      std::string findings = LintRule(
          "all", Concat("effect: allow, from: [{ ", field, ": { re2: '", row.pattern, "' } }]"));
      EXPECT_EQ(!findings.empty(), row.found) << field << row.pattern << findings;
    }
    std::string findings = LintRule(
        "all", Concat("effect: allow, from: mesh, to: [{ host: { re2: '", row.pattern, "' } }]"));
    EXPECT_EQ(!findings.empty(), row.found) << row.pattern << findings;
  }
  EXPECT_EQ(LintRule("all", "effect: allow, from: mesh, to: [{ path: { re2: '/a.b' } }]"), "");
}

TEST(LintTest, ShowsTextThatTheDotLetsThrough) {
  EXPECT_THAT(LintRule("all", "effect: allow, from: [{ id: { re2: 'spiffe://shop.example/a' } }]"),
              HasSubstr("matches any byte, as in \"spiffe://shopxexample/a\""));
}

TEST(LintTest, NamesIdentitySetsThatNoRuleUses) {
  std::string set =
      "---\napiVersion: countersign.dev/v1alpha1\nkind: IdentitySet\n"
      "metadata: { name: auditors }\nspec: { ids: [spiffe://td/ana] }\n";
  EXPECT_THAT(Lint("  appliesTo: all\n  rules: [{ name: r, effect: deny, from: anyone }]\n" + set),
              HasSubstr("f.yaml:22:1: warning: no rule uses IdentitySet \"auditors\""));
  EXPECT_EQ(Lint("  appliesTo: all\n  rules: [{ name: r, effect: deny, "
                 "from: [{ identitySet: auditors }] }]\n" +
                 set),
            "");
}

TEST(LintTest, NamesWhatAnImportLetInUntilItIsGone) {
  EXPECT_THAT(Lint("  appliesTo: all\n  rules: [{ name: istio-implicit-allow, effect: allow, "
                   "from: anyone }]\n"),
              HasSubstr("rule s/p/istio-implicit-allow lets everything in"));
}

TEST(LintTest, NamesWhatTimeTookAway) {
  EXPECT_THAT(LintRule("all", "effect: allow, from: mesh, expires: 2026-12-31"),
              HasSubstr("expired on 2026-12-31"));
  EXPECT_EQ(LintRule("all", "effect: allow, from: mesh, expires: 2027-12-31"), "");
  EXPECT_THAT(Lint("  appliesTo: all\n  unmatched: { dryRun: true, until: 2026-01-01 }\n"),
              HasSubstr("unmatched ended on 2026-01-01"));
}

}  // namespace
}  // namespace countersign::authz
