// What lint names, and what it leaves alone.
#include "authz/check/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

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

TEST(LintTest, NamesAllowsThatReachFurtherThanTheyLook) {
  struct Row {
    const char* name;
    const char* rule;
    const char* finding;
  };
  constexpr const char* kEverybody = "allows everything to callers without identity";
  constexpr const char* kNobody = "has an entry of `from` that names no caller";
  constexpr const char* kTwo = "has two entries of `to` where one may be meant";
  const Row rows[] = {
      {"anyone", "effect: allow, from: anyone", kEverybody},
      {"anyone for all paths", "effect: allow, from: anyone, to: [{ path: /** }]", kEverybody},
      {"anyone for a path or all", "effect: allow, from: anyone, to: [{ path: /a }, { path: /** }]",
       kEverybody},
      {"anyone over HTTP", "effect: allow, from: anyone, to: [{ protocol: http }]", kEverybody},
      {"anyone with a header", "effect: allow, from: anyone, when: { headers: { x: y } }",
       kEverybody},
      {"every address", "effect: allow, from: [{ peerIp: 0.0.0.0/0 }]", kNobody},
      {"an address", "effect: allow, from: [{ peerIp: 10.0.0.0/8 }], to: [{ path: /a }]",
       "whoever is at that peerIp, also without identity; add an id"},
      {"a dash too many",
       "effect: allow, from: [{ id: spiffe://td/a }, { peerIp: 10.0.0.0/8 }], to: [{ path: /a }]",
       "to narrow another entry write it there, without a dash"},
      {"every domain", "effect: allow, from: [{ trustDomain: { present: true } }]",
       "every trust domain by trustDomain { present: true }: say `from: authenticated`"},
      {"every id", "effect: allow, from: [{ id: { present: true } }]", "say `from: authenticated`"},
      {"a domain's beginning", "effect: allow, from: [{ id: { prefix: spiffe://shop.example } }]",
       "also admits \"spiffe://shop.example.evil/x\" by id prefix"},
      {"a name's beginning", "effect: allow, from: [{ trustDomain: { prefix: shop } }]",
       "also admits trust domain \"shop.evil\""},
      {"a name's end", "effect: allow, from: [{ trustDomain: { suffix: shop.example } }]",
       "also admits trust domain \"evil-shop.example\""},
      {"a method and a path", "effect: allow, from: mesh, to: [{ methods: [GET] }, { path: /a }]",
       kTwo},
      {"a path and a method", "effect: allow, from: mesh, to: [{ path: /a }, { methods: [GET] }]",
       kTwo},
      {"a host and a path", "effect: allow, from: mesh, to: [{ host: a }, { path: /a }]", kTwo},
      {"a foreign wildcard", "effect: allow, from: mesh, to: [{ path: '/orders/:id' }]",
       "matches only the text \":id\" itself in path \"/orders/:id\": for any one segment use "
       "{id}"},
      {"a foreign wildcard in the middle",
       "effect: deny, from: mesh, to: [{ protocol: http, path: '/a/:id/b' }]", "use {id}"},
      {"a foreign wildcard in an exception",
       "effect: allow, from: mesh, to: [{ path: /a/**, except: { path: '/a/:x' } }]", "use {x}"},
  };
  for (const Row& row : rows) {
    std::string findings = LintRule("all", row.rule);
    EXPECT_THAT(findings, HasSubstr(row.finding)) << row.name;
    EXPECT_THAT(findings, testing::StartsWith("f.yaml:20:")) << row.name;
    EXPECT_EQ(std::ranges::count(findings, '\n'), 1) << row.name << findings;
  }
}

TEST(LintTest, LeavesBreadthAloneThatIsSpelledOut) {
  for (const char* rule : {
           "effect: allow, from: anyone, to: [{ path: /healthz }]",
           "effect: allow, from: anyone, to: [{ port: 8443, protocol: http }]",
           "effect: allow, from: authenticated",
           "effect: allow, from: mesh",
           "effect: allow, from: [{ peerIp: 0.0.0.0/0, id: { present: true } }]",
           "effect: allow, from: [{ peerIp: 10.0.0.0/8, id: { present: false } }], to: [{ path: /a "
           "}]",
           "effect: allow, from: [{ id: { present: true }, except: { trustDomain: td } }]",
           "effect: allow, from: [{ id: { prefix: 'spiffe://td/' } }]",
           "effect: allow, from: [{ id: { under: spiffe://td } }]",
           "effect: allow, from: [{ trustDomain: { suffix: .td } }]",
           "effect: allow, from: mesh, to: [{ methods: [GET], path: /** }, { path: /a }]",
           "effect: allow, from: mesh, to: [{ methods: [GET] }, { methods: [PUT], path: /a }]",
           "effect: allow, from: mesh, to: [{ methods: [GET] }, { protocol: tcp, port: 1 }]",
           "effect: allow, from: mesh, to: [{ path: /a }, { path: /b, host: a }]",
           "effect: allow, from: mesh, to: [{ path: '/v1/orders:cancel' }]",
           "effect: allow, from: mesh, to: [{ path: { re2: '/orders/:id' } }]",
           "effect: deny, from: anyone",
           "effect: deny, from: [{ peerIp: 0.0.0.0/0 }]",
           "effect: deny, from: [{ id: { prefix: spiffe://shop.example } }]",
           "effect: deny, from: [{ trustDomain: { suffix: shop.example } }]",
           "effect: deny, from: mesh, to: [{ protocol: http, methods: [PUT] }, { protocol: http, "
           "path: /a }]",
       }) {
    EXPECT_EQ(LintRule("all", rule), "") << rule;
  }
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
