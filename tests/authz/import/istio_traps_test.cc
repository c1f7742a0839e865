// The traps between what an AuthorizationPolicy says and what Envoy makes of it, one test each: a
// reader of the result must find the same verdicts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/check/evaluate.h"
#include "authz/import/import.h"
#include "authz/kinds/loader.h"

namespace countersign::authz::import {
namespace {

using ::testing::HasSubstr;

constexpr const char* kWorkloads = R"(---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: foo }
spec: { template: { metadata: { labels: { app: web } }, spec: { serviceAccountName: web } } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: db, namespace: foo }
spec: { template: { metadata: { labels: { app: db } }, spec: { serviceAccountName: db } } }
)";

ImportOptions Options() {
  ImportOptions options;
  options.trust_domain = "td";
  return options;
}

// Policy is an AuthorizationPolicy of namespace foo with this spec, in flow form.
std::string Policy(std::string_view spec, std::string_view name = "p") {
  return Concat(
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ", name,
      ", namespace: foo }\nspec: { ", spec, " }\n");
}
std::string Allow(std::string_view rule) { return Policy(Concat("rules: [{ ", rule, " }]")); }
std::string Deny(std::string_view rule) {
  return Policy(Concat("action: DENY, rules: [{ ", rule, " }]"));
}

Imported Import(const std::string& source, const ImportOptions& options = Options()) {
  const SourceFile file{"istio.yaml", source + kWorkloads};
  return ImportIstio({&file, 1}, options);
}

std::string Findings(const Imported& imported) {
  std::string out;
  for (const Diagnostic& diagnostic : imported.diagnostics) {
    out += FormatDiagnostic(diagnostic) + "\n";
  }
  return out;
}

// Verdict judges one request (the inside of a flow map) by what was imported.
std::string Verdict(const std::string& source, std::string_view request,
                    const ImportOptions& options = Options()) {
  Imported imported = Import(source, options);
  EXPECT_TRUE(imported.ok()) << Findings(imported);
  const SourceFile file{"imported.yaml", imported.yaml};
  LoadResult loaded = Load({&file, 1});
  std::string text = Concat("{ ", request);
  if (request.find("workload") == std::string_view::npos) {
    text += ", workload: spiffe://td/ns/foo/sa/web";
  }
  if (request.find("kind: tcp") == std::string_view::npos &&
      request.find("path") == std::string_view::npos) {
    text += ", method: GET, path: /";
  }
  auto typed = LoadTestRequest({"request", text + " }"});
  EXPECT_TRUE(typed.ok()) << typed.status() << text;
  if (!imported.ok() || !typed.ok()) {
    return "not judged";
  }
  auto evaluation = EvaluateRequest(loaded.sets, *typed, WallTime());
  EXPECT_TRUE(evaluation.ok()) << evaluation.status();
  return evaluation.ok() && evaluation->allowed() ? "allow" : "deny";
}

constexpr std::string_view kWeb = "caller: spiffe://td/ns/foo/sa/web";

TEST(IstioTrapsTest, AnAllowWithAnHttpFieldInAnyEntryAdmitsNoTcpConnection) {
  std::string source =
      Allow("to: [{ operation: { ports: ['80'] } }, { operation: { methods: [GET] } }]");
  EXPECT_EQ(Verdict(source, Concat("kind: tcp, port: 80, ", kWeb)), "deny");
  EXPECT_EQ(Verdict(source, Concat("port: 80, method: POST, path: /, ", kWeb)), "allow");
  EXPECT_EQ(Verdict(source, Concat("port: 81, method: POST, path: /, ", kWeb)), "deny");
  std::string headers = Allow(
      "from: [{ source: { namespaces: [foo] } }], "
      "when: [{ key: 'request.headers[x]', notValues: [a] }]");
  EXPECT_EQ(Verdict(headers, Concat("kind: tcp, ", kWeb)), "deny");
  EXPECT_EQ(Verdict(headers, kWeb), "allow");
}

TEST(IstioTrapsTest, ADenyWithHttpFieldsAloneClosesEveryTcpPortAndSaysSo) {
  std::string source = Deny("to: [{ operation: { methods: [DELETE] } }]");
  EXPECT_EQ(Verdict(source, "kind: tcp, port: 5432"), "deny");
  EXPECT_EQ(Verdict(source, "method: GET, path: /"), "allow");
  EXPECT_THAT(Findings(Import(source)), HasSubstr("warning: on a TCP port the HTTP fields"));
}

TEST(IstioTrapsTest, ADenyKeepsItsOtherFieldsOnTcp) {
  std::string source = Deny("to: [{ operation: { ports: ['80'], notMethods: [GET] } }]");
  EXPECT_EQ(Verdict(source, "kind: tcp, port: 80"), "deny");
  EXPECT_EQ(Verdict(source, "kind: tcp, port: 81"), "allow");
  EXPECT_EQ(Verdict(source, "port: 80, method: GET, path: /"), "allow");
  EXPECT_EQ(Verdict(source, "port: 80, method: PUT, path: /"), "deny");
}

TEST(IstioTrapsTest, AnAuditRuleDecidesNothing) {
  std::string source = Policy("action: AUDIT, rules: [{}]");
  EXPECT_EQ(Verdict(source, kWeb), "allow");
  EXPECT_THAT(Findings(Import(source)), HasSubstr("only audits, and is left out"));
}

TEST(IstioTrapsTest, AnUnknownConditionRefusesTheFileAndDoesNotDropTheRule) {
  Imported imported = Import(Deny("when: [{ key: request.header, values: [x] }]"));
  EXPECT_FALSE(imported.ok());
  EXPECT_TRUE(imported.yaml.empty());
  EXPECT_THAT(Findings(imported),
              HasSubstr("istio.yaml:5:40: unknown key \"request.header\" in when (did you mean "
                        "\"request.headers\"?): Istio ignores the whole rule"));
}

TEST(IstioTrapsTest, ANegatedPrincipalOfAnAllowAdmitsNobodyWithoutIdentityUnlessAskedTo) {
  std::string source = Allow("from: [{ source: { notPrincipals: [td/ns/foo/sa/db] } }]");
  ImportOptions compat = Options();
  compat.anonymous_as_istio = true;
  EXPECT_EQ(Verdict(source, "method: GET, path: /"), "deny");
  EXPECT_EQ(Verdict(source, "method: GET, path: /", compat), "allow");
  EXPECT_EQ(Verdict(source, kWeb), "allow");
  EXPECT_EQ(Verdict(source, "caller: spiffe://td/ns/foo/sa/db"), "deny");
  EXPECT_THAT(Findings(Import(source)), HasSubstr("callers without identity match a negated"));
}

TEST(IstioTrapsTest, ANegatedPrincipalOfADenyRefusesThoseWithoutIdentity) {
  std::string source = Deny("from: [{ source: { notNamespaces: [foo] } }]");
  EXPECT_EQ(Verdict(source, "method: GET, path: /"), "deny");
  EXPECT_EQ(Verdict(source, kWeb), "allow");
}

TEST(IstioTrapsTest, NoAllowPolicyMeansAllowAndIsSaidInTheOpen) {
  std::string source = Policy(
      "selector: { matchLabels: { app: web } }, rules: [{ from: [{ source: "
      "{ principals: [td/ns/foo/sa/db] } }] }]");
  EXPECT_EQ(Verdict(source, "workload: spiffe://td/ns/foo/sa/db"), "allow");
  EXPECT_EQ(Verdict(source, "workload: spiffe://td/ns/foo/sa/web"), "deny");
  EXPECT_EQ(Verdict(source, "workload: spiffe://td/ns/foo/sa/other"), "deny");  // In no file.
  EXPECT_THAT(Import(source).yaml, HasSubstr("name: istio-implicit-allow"));
}

TEST(IstioTrapsTest, AnAllowWithoutRulesDeniesAll) {
  for (const char* spec : {"", "action: ALLOW", "rules: "}) {
    EXPECT_EQ(Verdict(Policy(spec), kWeb), "deny") << spec;
  }
  EXPECT_EQ(Verdict(Policy("rules: [{}]"), "method: GET, path: /"), "allow");
  EXPECT_EQ(Verdict(Policy("action: DENY, rules: [{}]"), kWeb), "deny");
}

TEST(IstioTrapsTest, ATrialEnforcesNothingAndEndsNoImplicitAllow) {
  std::string source =
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p, "
      "namespace: foo, annotations: { istio.io/dry-run: '1' } }\nspec: { action: ALLOW, rules: "
      "[{ from: [{ source: { principals: [td/ns/foo/sa/db] } }] }] }\n";
  EXPECT_EQ(Verdict(source, kWeb), "allow");
  EXPECT_THAT(Import(source).yaml, HasSubstr("dryRun: true"));
  source.replace(source.find("'1'"), 3, "'yes'");  // No bool to Istio: enforced.
  EXPECT_EQ(Verdict(source, kWeb), "deny");
}

TEST(IstioTrapsTest, AStarIsAWildcardAtOneEndOnly) {
  EXPECT_EQ(Verdict(Allow("to: [{ operation: { paths: ['/a*b'] } }]"), "path: /axb, method: GET"),
            "deny");
  EXPECT_EQ(Verdict(Allow("to: [{ operation: { paths: ['/a*b'] } }]"), "path: '/a*b', method: GET"),
            "allow");
  std::string both = Allow("to: [{ operation: { paths: ['*a*'] } }]");  // The suffix "a*".
  EXPECT_EQ(Verdict(both, "path: '/xa*', method: GET"), "allow");
  EXPECT_EQ(Verdict(both, "path: /xay, method: GET"), "deny");
  std::string stars =
      Allow("to: [{ operation: { paths: ['/api/**'] } }]");  // Begins with "/api/*".
  EXPECT_EQ(Verdict(stars, "path: /api/orders, method: GET"), "deny");
}

TEST(IstioTrapsTest, AUriTemplateTakesWholeSegmentsOfItsOwnBytes) {
  std::string one = Allow("to: [{ operation: { paths: ['/u/{*}/items'] } }]");
  EXPECT_EQ(Verdict(one, "path: /u/7/items, method: GET"), "allow");
  EXPECT_EQ(Verdict(one, "path: /u/7/8/items, method: GET"), "deny");
  EXPECT_EQ(Verdict(one, "path: /u/a=b/items, method: GET"), "deny");
  std::string rest = Allow("to: [{ operation: { paths: ['/f/{**}'] } }]");
  EXPECT_EQ(Verdict(rest, "path: /f/, method: GET"), "allow");
  EXPECT_EQ(Verdict(rest, "path: /f, method: GET"), "deny");
}

TEST(IstioTrapsTest, ANamespaceReachesAcrossTrustDomainsAndSegments) {
  std::string source = Allow("from: [{ source: { namespaces: [f*o] } }]");
  EXPECT_EQ(Verdict(source, "caller: spiffe://other/ns/f/x/o/sa/a"), "allow");
  EXPECT_EQ(Verdict(source, "caller: spiffe://other/ns/fob/sa/a"), "deny");
  std::string ours = Allow("from: [{ source: { namespaces: [foo], trustDomains: [td] } }]");
  EXPECT_EQ(Verdict(ours, "caller: spiffe://other/ns/foo/sa/a"), "deny");
  EXPECT_EQ(Verdict(ours, "caller: spiffe://td/x/ns/foo/sa/a"), "allow");
  EXPECT_EQ(Verdict(ours, kWeb), "allow");
}

TEST(IstioTrapsTest, ADotInAServiceAccountIsADot) {
  std::string source = Allow("from: [{ source: { serviceAccounts: [foo/a.b] } }]");
  EXPECT_EQ(Verdict(source, "caller: spiffe://td/ns/foo/sa/a.b"), "allow");
  EXPECT_EQ(Verdict(source, "caller: spiffe://td/ns/foo/sa/axb"), "deny");
  EXPECT_EQ(Verdict(source, "caller: spiffe://td/ns/foo/sa/a.b/pod"), "allow");
}

TEST(IstioTrapsTest, ClusterLocalMeansTheMeshAndItsAliases) {
  ImportOptions options = Options();
  options.trust_domain_aliases = {"old-td"};
  std::string source = Allow("from: [{ source: { principals: [cluster.local/ns/foo/sa/db] } }]");
  EXPECT_EQ(Verdict(source, "caller: spiffe://td/ns/foo/sa/db", options), "allow");
  EXPECT_EQ(Verdict(source, "caller: spiffe://old-td/ns/foo/sa/db", options), "allow");
  EXPECT_EQ(Verdict(source, "caller: spiffe://cluster.local/ns/foo/sa/db", options), "deny");
}

TEST(IstioTrapsTest, APrincipalThatEndsAlikeTakesNoSlashOfTheScheme) {
  std::string source = Allow("from: [{ source: { principals: ['*/ns/foo/sa/web'] } }]");
  EXPECT_EQ(Verdict(source, kWeb), "allow");
  EXPECT_EQ(Verdict(source, "caller: spiffe://ns/foo/sa/web"), "deny");
}

TEST(IstioTrapsTest, AHostWithoutPortIsTakenOnlyWhereItAdmitsNoMore) {
  std::string alone = Allow("to: [{ operation: { hosts: [shop.example] } }]");
  EXPECT_THAT(Findings(Import(alone)), HasSubstr("list \"shop.example:*\" too, or give "
                                                 "--hosts-with-any-port"));
  std::string both = Allow("to: [{ operation: { hosts: [Shop.Example, 'shop.example:*'] } }]");
  EXPECT_EQ(Verdict(both, "host: 'SHOP.example:80', method: GET, path: /"), "allow");
  EXPECT_EQ(Verdict(both, "host: other, method: GET, path: /"), "deny");
  EXPECT_THAT(Findings(Import(Deny("to: [{ operation: { hosts: [shop.example] } }]"))),
              HasSubstr("more is refused than by the source"));
  EXPECT_THAT(Findings(Import(Deny("to: [{ operation: { notHosts: [shop.example] } }]"))),
              HasSubstr("more would be let in"));
}

TEST(IstioTrapsTest, ANegatedServerNameAdmitsCallersThatSendNone) {
  std::string source = Allow("when: [{ key: connection.sni, notValues: [old] }]");
  EXPECT_EQ(Verdict(source, kWeb), "allow");
  EXPECT_EQ(Verdict(source, Concat("sni: new, ", kWeb)), "allow");
  EXPECT_EQ(Verdict(source, Concat("sni: old, ", kWeb)), "deny");
}

TEST(IstioTrapsTest, EachLineOfAHeaderIsJudgedByItself) {
  std::string source = Deny("when: [{ key: 'request.headers[X-Env]', values: [test] }]");
  EXPECT_EQ(Verdict(source, "headers: { x-env: [prod, test] }, method: GET, path: /"), "deny");
  EXPECT_EQ(Verdict(source, "headers: { x-env: 'prod,test' }, method: GET, path: /"), "allow");
}

TEST(IstioTrapsTest, RootNamespacePoliciesReachEveryNamespace) {
  std::string source =
      "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: all, "
      "namespace: istio-system }\nspec: { action: DENY, rules: [{ to: [{ operation: { ports: "
      "['9000'] } }] }] }\n";
  EXPECT_EQ(Verdict(source, Concat("port: 9000, ", kWeb)), "deny");
  EXPECT_EQ(Verdict(source, Concat("port: 80, ", kWeb)), "allow");
}

TEST(IstioTrapsTest, TwoWorkloadsOfOneAccountCannotHaveDifferentPolicies) {
  std::string source =
      Policy("selector: { matchLabels: { app: web } }, rules: [{}]") +
      "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: { name: twin, namespace: foo }\n"
      "spec: { template: { metadata: { labels: { app: twin } }, spec: { serviceAccountName: web } "
      "} "
      "}\n";
  EXPECT_THAT(Findings(Import(source)),
              HasSubstr("Deployment web and StatefulSet twin share the service account \"web\""));
}

}  // namespace
}  // namespace countersign::authz::import
