// What cannot be carried over is refused by name, at its place, and then nothing is imported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/import/import.h"
#include "base/status.h"

namespace countersign::authz::import {
namespace {

using ::testing::HasSubstr;

std::string FindingsOf(const std::string& source) {
  const SourceFile file{"istio.yaml", source};
  ImportOptions options;
  options.trust_domain = "td";
  Imported imported = ImportIstio({&file, 1}, options);
  EXPECT_FALSE(imported.ok()) << source;
  EXPECT_TRUE(imported.yaml.empty()) << source;
  std::string out;
  for (const Diagnostic& diagnostic : imported.diagnostics) {
    out += FormatDiagnostic(diagnostic) + "\n";
  }
  return out;
}

std::string Policy(std::string_view spec) {
  return Concat("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n",
                "metadata: { name: p, namespace: foo }\nspec: { ", spec, " }\n");
}

struct Row {
  const char* name;
  const char* rule;  // Of an ALLOW, in flow form.
  const char* finding;
};

TEST(IstioRefusalsTest, EachFieldThatCannotBeSaidIsNamedAtItsPlace) {
  const Row kRows[] = {
      {"tokens", "from: [{ source: { requestPrincipals: ['*'] } }]",
       "istio.yaml:4:38: requestPrincipals cannot be imported: claims need a TokenIssuer"},
      {"negated tokens", "from: [{ source: { notRequestPrincipals: ['*'] } }]",
       "notRequestPrincipals cannot be imported: claims need a TokenIssuer"},
      {"claims", "when: [{ key: 'request.auth.claims[groups]', values: [a] }]",
       "request.auth.claims[groups] cannot be imported: claims need a TokenIssuer"},
      {"reported addresses", "from: [{ source: { remoteIpBlocks: [10.0.0.0/8] } }]",
       "remoteIpBlocks cannot be imported: an address that a header or a PROXY line reports"},
      {"reported address", "when: [{ key: remote.ip, values: [10.0.0.0/8] }]",
       "remote.ip cannot be imported: an address that a header"},
      {"local address", "when: [{ key: destination.ip, values: [10.0.0.1] }]",
       "destination.ip cannot be imported: the address that the caller reached"},
      {"metadata", "when: [{ key: 'experimental.envoy.filters.a[b]', values: [x] }]",
       "cannot be imported: metadata of other filters"},
      {"removed key", "when: [{ key: 'destination.labels[app]', values: [x] }]",
       "unknown key \"destination.labels[app]\" in when"},
      {"unknown key", "from: [{ source: { principal: [a] } }]",
       "unknown key \"principal\" in source (did you mean \"principals\"?)"},
      {"empty from", "from: []", "from must be a list that is not empty"},
      {"empty source", "from: [{ source: {} }]", "an entry of from needs a source"},
      {"empty list", "from: [{ source: { principals: [] } }]", "principals must not be empty"},
      {"empty text", "from: [{ source: { principals: [''] } }]", "texts that are not empty"},
      {"no values", "when: [{ key: source.ip }]", "a condition needs values or notValues"},
      {"accounts and namespaces", "from: [{ source: { serviceAccounts: [a], namespaces: [b] } }]",
       "serviceAccounts may not stand beside principals or namespaces"},
      {"account with star", "from: [{ source: { serviceAccounts: ['a*'] } }]",
       "service account \"a*\" must be NAMESPACE/NAME"},
      {"two stars", "from: [{ source: { trustDomains: ['*a*'] } }]",
       "trust domain \"*a*\" may have one '*'"},
      {"no id", "from: [{ source: { principals: [foo//bar] } }]",
       "principal \"foo//bar\" can never match"},
      {"bad block", "from: [{ source: { ipBlocks: [10.0.0.0/33] } }]", "10.0.0.0/33"},
      {"block of both families", "from: [{ source: { ipBlocks: ['::/0'] } }]",
       "address block \"::/0\" would also mean IPv4 addresses here: write 2000::/3"},
      {"some methods", "to: [{ operation: { methods: ['P*'] } }]",
       "method \"P*\" cannot be imported: methods are listed one by one"},
      {"no methods", "to: [{ operation: { notMethods: ['*'] } }]",
       "no request is without a methods"},
      {"port 0", "to: [{ operation: { ports: ['0'] } }]", "port \"0\" must be a number from 1"},
      {"template in part", "to: [{ operation: { paths: ['/a{*}'] } }]",
       "may have {*} and {**} as whole segments only"},
      {"operator behind the rest", "to: [{ operation: { paths: ['/{**}/{*}'] } }]",
       "has an operator behind {**}"},
      {"path that is not canonical", "to: [{ operation: { paths: ['/a//b'] } }]",
       "path \"/a//b\" can never match: a canonical path has no empty segments"},
      {"path without slash", "to: [{ operation: { paths: ['a*'] } }]",
       "path \"a*\" can never match: a path begins with '/'"},
      {"host of a port", "to: [{ operation: { hosts: ['a:80'] } }]",
       "host \"a:80\" cannot be imported: a host is judged without its port"},
      {"header of the proxy", "when: [{ key: 'request.headers[cookie]', values: [a] }]",
       "a rule may not name the header \"cookie\""},
      {"header both ways", "when: [{ key: 'request.headers[x]', values: ['a*'], notValues: [ab] }]",
       "has values and notValues: one predicate stands on a header"},
      {"header negated from both ends",
       "when: [{ key: 'request.headers[x]', notValues: ['a*', '*b'] }]", "RE2 has no negation"},
      {"one header twice",
       "when: [{ key: 'request.headers[x]', values: [a] }, { key: 'request.headers[X]', values: "
       "[b] }]",
       "stands twice in when"},
      {"three patterns",
       "from: [{ source: { principals: ['*a'], namespaces: [b] } }], when: [{ key: "
       "source.namespace, values: [c] }]",
       "more than two patterns must hold for one caller"},
  };
  for (const Row& row : kRows) {
    EXPECT_THAT(FindingsOf(Policy(Concat("rules: [{ ", row.rule, " }]"))), HasSubstr(row.finding))
        << row.name;
  }
}

TEST(IstioRefusalsTest, DocumentsThatAdmitOrRefuseElsewhereAreRefused) {
  const std::pair<std::string, const char*> kRows[] = {
      {Policy("action: CUSTOM, provider: { name: x }, rules: [{}]"),
       "action CUSTOM asks a program"},
      {Policy("action: DENY"), "a DENY without rules never denies"},
      {Policy("action: PERMIT"), "unknown action \"PERMIT\""},
      {Policy("targetRefs: [{ kind: Gateway, name: g }]"), "targetRefs cannot be imported"},
      {Policy("selector: { matchLabels: { app: x } }, rules: [{}]"),
       "istio.yaml:1:1: no workload with the labels app=x is among the files"},
      {"apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: j }\n",
       "RequestAuthentication refuses requests with a bad token"},
      {"apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: { name: j }\n",
       "EnvoyFilter may admit and refuse requests"},
      {"apiVersion: security.istio.io/v1\nkind: Other\nmetadata: { name: j }\n",
       "kind \"Other\" of security.istio.io cannot be imported"},
      {"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: p }\n",
       "the document names no namespace"},
      {"a: [", "not YAML"},
      {"kind: ConfigMap\n", "no AuthorizationPolicy is among the files"},
  };
  for (const auto& [source, finding] : kRows) {
    EXPECT_THAT(FindingsOf(source), HasSubstr(finding));
  }
}

TEST(IstioRefusalsTest, AllErrorsAreReportedAtOnce) {
  std::string findings =
      FindingsOf(Policy("rules: [{ to: [{ operation: { ports: ['0'], methods: ['P*'] } }] }]"));
  EXPECT_THAT(findings, HasSubstr("port \"0\""));
  EXPECT_THAT(findings, HasSubstr("method \"P*\""));
}

}  // namespace
}  // namespace countersign::authz::import
