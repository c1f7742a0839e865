// What the loader refuses, with the place and the words of each refusal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

struct Refusal {
  const char* name;
  std::string text;
  const char* finding;  // Part of the findings.
};

void ExpectRefused(const std::vector<Refusal>& table) {
  for (const Refusal& row : table) {
    LoadResult result = LoadText(row.text);
    EXPECT_FALSE(result.ok()) << row.name;
    EXPECT_TRUE(result.sets.empty() && result.registrations.empty() && result.services.empty() &&
                result.routes.empty())
        << row.name;
    EXPECT_THAT(Findings(result), testing::HasSubstr(row.finding)) << row.name;
  }
}

std::string OnesAndCommas(size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    out += "1,";
  }
  return out;
}

TEST(LoaderRefusesTest, DocumentsWithoutAPlace) {
  ExpectRefused({
      {"no api version", "kind: Route\nmetadata: { name: x }\nspec: {}\n",
       "f.yaml:1:1: required key \"apiVersion\" is missing"},
      {"another api version", "apiVersion: v1\nkind: Route\nmetadata: { name: x }\nspec: {}\n",
       "f.yaml:1:13: unknown apiVersion \"v1\""},
      {"no kind", "apiVersion: countersign.dev/v1alpha1\nmetadata: { name: x }\n",
       "f.yaml:1:1: required key \"kind\" is missing"},
      {"misspelt kind", Head("AccesPolicy", "  {}\n"),
       "f.yaml:2:7: unknown kind \"AccesPolicy\" (did you mean \"AccessPolicy\"?)"},
      {"kinds that are refused are not offered", Head("Rolle", "  {}\n"),
       "f.yaml:2:7: unknown kind \"Rolle\" (did you mean \"Route\"?)"},
      {"role", Head("Role", "  {}\n"), "Role: this version does not have this kind"},
      {"unknown key on top",
       Head("Route",
            "  service: a\n  rules: [{timeout: {request: 1s}}]\n"
            "status: good\n"),
       "f.yaml:7:1: unknown key \"status\""},
      {"bad name",
       "apiVersion: countersign.dev/v1alpha1\nkind: Route\nmetadata: { name: A_b }\n"
       "spec: { service: a, rules: [{ timeout: { request: 1s } }] }\n",
       "f.yaml:3:19: name: must be a name of lower-case letters"},
      {"labels in metadata",
       "apiVersion: countersign.dev/v1alpha1\nkind: Route\n"
       "metadata: { name: x, labels: {} }\nspec: {}\n",
       "f.yaml:3:22: unknown key \"labels\""},
      {"a word as document", "a\n", "f.yaml:1:1: a document must be a map"},
      {"a list of something else", "- a\n", "f.yaml:1:3: a document must be a map"},
      {"a List without items", "apiVersion: countersign.dev/v1alpha1\nkind: List\n",
       "f.yaml:1:1: a List must have items"},
      {"a List whose items are none",
       "apiVersion: countersign.dev/v1alpha1\nkind: List\nitems: {}\n",
       "f.yaml:3:8: a List must have items"},
      {"a List of another version", "apiVersion: v1\nkind: List\nitems: []\n",
       "f.yaml:1:13: unknown apiVersion \"v1\""},
      {"an unknown key beside items",
       "apiVersion: countersign.dev/v1alpha1\nkind: List\nitems: []\nspec: {}\n",
       "f.yaml:4:1: unknown key \"spec\""},
      {"a list that is too long", "[" + OnesAndCommas(1001) + "]",
       "f.yaml:1:1: a list of more than 1000 documents"},
      {"a policy without a set",
       Head("AccessPolicy",
            "  appliesTo: all\n  rules: [{ name: r, "
            "effect: deny, from: anyone }]\n"),
       "f.yaml:1:1: AccessPolicy \"x\" belongs to no policy set"},
      {"an assertion without a set",
       Head("PolicyAssertion", "  never: { from: anyone, to: [{ path: / }] }\n"),
       "f.yaml:1:1: PolicyAssertion \"x\" belongs to no policy set"},
  });
}

TEST(LoaderRefusesTest, WhatSemantics4Names) {
  std::string allow = "      effect: allow\n";
  ExpectRefused({
      {"unknown key with the nearest word",
       WithRule(allow + "      from: anyone\n      too: [{ path: / }]\n"),
       "f.yaml:15:7: unknown key \"too\" (did you mean \"to\"?)"},
      {"a key in the wrong place", WithTo("{ peerIp: 10.0.0.0/8 }"),
       "unknown key \"peerIp\" here: it belongs in spec.rules.from"},
      {"empty list", WithRule(allow + "      from: []\n"),
       "f.yaml:14:13: from must not be an empty list"},
      {"empty list of values", WithFrom("[{ id: [] }]"), "id must not be an empty list"},
      {"empty entry", WithFrom("[{}]"), "from must not be empty"},
      {"empty text", WithFrom("[{ id: '' }]"), "id must not be empty"},
      {"empty when", WithWhen("{}"), "when must not be empty"},
      {"null", WithFrom("~"), "from has no value"},
      {"duplicate key", WithRule(allow + "      effect: deny\n      from: anyone\n"),
       "f.yaml:14:7: duplicate key \"effect\""},
      {"rule without a name",
       Concat(kSetHead, "  appliesTo: all\n  rules: [{ effect: deny, from: anyone }]\n"),
       "f.yaml:11:11: required key \"name\" is missing in rules"},
      {"two rules of one name",
       Concat(kSetHead,
              "  appliesTo: all\n  rules: [{ name: r, effect: deny, from: anyone },\n"
              "    { name: r, effect: allow, from: mesh }]\n"),
       "f.yaml:12:5: two of rules have the name \"r\""},
      {"omitted from", WithRule(allow), "f.yaml:12:7: required key \"from\" is missing in rules"},
      {"omitted appliesTo",
       Concat(kSetHead, "  rules: [{ name: r, effect: deny, from: anyone }]\n"),
       "f.yaml:10:3: required key \"appliesTo\" is missing in spec"},
      {"no rules", Concat(kSetHead, "  appliesTo: all\n"), "required key \"rules\" is missing"},
      {"misspelt word for from", WithFrom("anyon"), "(did you mean \"anyone\"?)"},
      {"misspelt effect", WithRule("      effect: alow\n      from: anyone\n"),
       "f.yaml:13:15: effect: unknown word \"alow\" (did you mean \"allow\"?)"},
      {"an entry that is no map", WithFrom("[spiffe://td/a]"), "from must be a map"},
      {"a map instead of entries", WithFrom("{ id: spiffe://td/a }"), "from must be a list"},
      {"alias", Concat(kSetHead, "  appliesTo: &a all\n  rules: *a\n"), "anchors (&name)"},
      {"merge key", WithRule("      <<: { effect: allow }\n      from: anyone\n"),
       "f.yaml:13:7: merge keys (<<) are not allowed"},
      {"tag", WithFrom("!!str anyone"), "tags are not allowed"},
  });
}

TEST(LoaderRefusesTest, LiteralsThatCannotMeanWhatTheyShow) {
  ExpectRefused({
      {"star in an id", WithFrom("[{ id: spiffe://td/ns/* }]"),
       "is not a wildcard: use {under: ...}"},
      {"star in a path", WithTo("{ path: /orders/* }"), "use {x} for one segment, /** at the end"},
      {"star in the middle", WithTo("{ path: '/a/**/b' }"), "is not a wildcard"},
      {"star in a prefix", WithTo("{ path: { prefix: /a* } }"), "is not a wildcard"},
      {"star in a host", WithTo("{ host: '*.shop' }"), "use {prefix: ...}, {suffix: ...}"},
      {"star as method", WithTo("{ methods: ['*'] }"), "omit methods to mean every method"},
      {"star in a header", WithWhen("{ headers: { x-a: 'a*' } }"), "is not a wildcard"},
      {"no spiffe id", WithFrom("[{ id: web }]"), "id: "},
      {"id with a last slash", WithFrom("[{ id: { under: spiffe://td/ns/ } }]"),
       "remove the last '/'"},
      {"prefix of nothing", WithFrom("[{ id: { prefix: ns/prod } }]"), "can never match"},
      {"relative path", WithTo("{ path: orders }"), "must begin with /"},
      {"dot segments", WithTo("{ path: /a/../b }"), "a canonical path has no dot segments"},
      {"empty segment", WithTo("{ path: //a }"), "a canonical path has no empty segments"},
      {"escaped letter", WithTo("{ path: /%41 }"), "%41 is 'A' in a canonical path"},
      {"escape in lower case", WithTo("{ path: /a%2f }"), "two upper-case hexadecimal digits"},
      {"query in a path", WithTo("{ path: '/a?b' }"), "use when.query"},
      {"half a variable", WithTo("{ path: '/a{x}' }"), "must be a whole segment"},
      {"host with upper case", WithTo("{ host: Orders }"), "can never match"},
      {"host with a port", WithTo("{ host: 'orders:80' }"), "can never match"},
      {"an address in a long spelling", WithTo("{ host: '[0:0:0:0:0:0:0:1]' }"), "can never match"},
      {"a host prefix with upper case", WithTo("{ host: { prefix: Or } }"), "can never match"},
      {"a host suffix with upper case", WithTo("{ host: { suffix: .SHOP } }"), "can never match"},
      {"a host suffix with a port", WithTo("{ host: { suffix: '.shop:80' } }"), "can never match"},
      {"an sni suffix with upper case", WithTo("{ sni: { suffix: S } }"), "can never match"},
      {"a trust domain suffix with upper case", WithFrom("[{ trustDomain: { suffix: .ORG } }]"),
       "can never match"},
      {"an id prefix with a byte that no id has",
       WithFrom("[{ id: { prefix: 'spiffe://td/%41' } }]"), "can never match"},
      {"a path prefix with a query", WithTo("{ path: { prefix: '/a?b' } }"), "can never match"},
      {"a path prefix with a small escape", WithTo("{ path: { prefix: /a%2f } }"),
       "two upper-case hexadecimal digits"},
      {"a path prefix with an empty segment", WithTo("{ path: { prefix: /a//b } }"),
       "can never match"},
      {"a path prefix with dots", WithTo("{ path: { prefix: /a/../b } }"), "can never match"},
      {"a path suffix with a space", WithTo("{ path: { suffix: 'a b' } }"), "can never match"},
      {"a path suffix of dots", WithTo("{ path: { suffix: /.. } }"), "can never match"},
      {"a path suffix with an escaped letter", WithTo("{ path: { suffix: '%41dmin' } }"),
       "%41 is 'A' in a canonical path"},
      {"a scope of whatever is there",
       Concat("apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: s }\n",
              "spec: { owner: { id: spiffe://td/a }, scope: { present: true } }\n"),
       "scope: present says nothing about ids"},
      {"a policy for what is not there",
       Concat(kSetHead, "  appliesTo: { present: false }\n",
              "  rules: [{ name: r, effect: deny, from: anyone }]\n"),
       "appliesTo: present says nothing about ids"},
      {"method in lower case", WithTo("{ methods: [get] }"), "a method in upper case"},
      {"under for a host", WithTo("{ host: { under: a } }"), "under is for paths and ids"},
      {"two predicates in one", WithTo("{ path: { under: /a, prefix: /b } }"), "exactly one of"},
      {"misspelt predicate", WithTo("{ path: { unter: /a } }"), "(did you mean \"under\"?)"},
      {"presence as text", WithFrom("[{ id: { present: 'true' } }]"),
       "present must be true or false"},
  });
}

TEST(LoaderRefusesTest, NumbersAndBoolsThatYamlReadersDisagreeAbout) {
  std::string tail = "  appliesTo: all\n  rules: [{ name: r, effect: deny, from: anyone }]\n";
  ExpectRefused({
      {"octal", WithTo("{ port: 010 }"), "a decimal number from 1 to 65535, not \"010\""},
      {"hexadecimal", WithTo("{ port: 0x10 }"), "not \"0x10\""},
      {"quoted number", WithTo("{ port: '80' }"), "without quotes"},
      {"signed", WithTo("{ port: +80 }"), "not \"+80\""},
      {"fraction", WithTo("{ port: 80.0 }"), "not \"80.0\""},
      {"too large", WithTo("{ port: 65536 }"), "not \"65536\""},
      {"huge", WithTo("{ port: 99999999999999999999 }"), "a decimal number"},
      {"yes", Concat(kSetHead, "  dryRun: yes\n", tail), "must be true or false, not \"yes\""},
      {"quoted bool", Concat(kSetHead, "  dryRun: 'true'\n", tail), "must be true or false"},
      {"True", Concat(kSetHead, "  dryRun: True\n", tail), "must be true or false, not \"True\""},
  });
}

TEST(LoaderRefusesTest, HeadersThatNoRuleMayName) {
  for (const char* name : {"Host", "authorization", "Cookie", "connection", "keep-alive", "te",
                           "transfer-encoding", "upgrade", "trailer", "proxy-authorization"}) {
    LoadResult result = LoadText(WithWhen(Concat("{ headers: { ", name, ": a } }")));
    EXPECT_THAT(Findings(result), testing::HasSubstr("a rule may not name the header")) << name;
  }
  ExpectRefused({
      {"pseudo-header", WithWhen("{ headers: { ':path': a } }"), "pseudo-header"},
      {"no token", WithWhen("{ headers: { 'x y': a } }"), "bad header name"},
      {"twice in other case", WithWhen("{ headers: { X-A: a, x-a: b } }"),
       "header names have no case"},
      {"half many", WithWhen("{ headers: { x-a: [{ prefix: a, many: true }, b] } }"),
       "many: true must stand on every predicate"},
      {"many: false", WithWhen("{ headers: { x-a: { prefix: a, many: false } } }"),
       "many must be true, or be left out"},
      {"many for a path", WithTo("{ path: { prefix: /a, many: true } }"), "unknown predicate"},
      {"claims", WithWhen("{ claims: { iss: a } }"), "claims need a TokenIssuer"},
  });
}

TEST(LoaderRefusesTest, PatternsThatTheEvaluatorsWouldRefuse) {
  ExpectRefused({
      {"unbalanced", WithTo("{ path: { re2: '/a(' } }"), "bad pattern \"/a(\": missing )"},
      {"look-ahead", WithTo("{ path: { re2: '(?=a)' } }"), "bad pattern \"(?=a)\""},
      {"repeat of repeat", WithTo("{ path: { re2: '(a{1000}){1000}' } }"), "bad pattern"},
      {"too long", WithTo(Concat("{ path: { re2: '", std::string(1025, 'a'), "' } }")),
       "a pattern of 1025 bytes: at most 1024 are allowed"},
      {"too much memory", WithTo("{ path: { re2: '((a{100}){10}|(b{100}){10}){0,30}' } }"),
       "bad pattern"},
      {"empty", WithTo("{ path: { re2: '' } }"), "needs one text that is not empty"},
  });
}

TEST(LoaderRefusesTest, RulesThatWouldWidenOrMeanNothing) {
  std::string boxes = "[";
  for (int i = 0; i < 65; ++i) {
    boxes += Concat("{ id: spiffe://td/a", i, ", peerIp: 10.0.0.", i, " },");
  }
  ExpectRefused({
      {"expires on a deny",
       WithRule("      effect: deny\n      from: anyone\n      expires: 2030-01-01\n"),
       "f.yaml:15:16: expires is allowed on allow rules only"},
      {"bad date", WithRule("      effect: allow\n      from: anyone\n      expires: 31.1.2030\n"),
       "bad time"},
      {"unmatched without a trial",
       Concat(kSetHead, "  appliesTo: all\n  unmatched: { dryRun: false, until: 2030-01-01 }\n"),
       "unmatched.dryRun must be true"},
      {"unmatched for ever", Concat(kSetHead, "  appliesTo: all\n  unmatched: { dryRun: true }\n"),
       "required key \"until\" is missing"},
      {"more than 64 boxes", WithFrom(boxes + "]"), "rule \"r\" needs 65 boxes: at most 64"},
      {"an entry of exceptions alone", WithFrom("[{ except: { peerIp: 10.0.0.0/8 } }]"),
       "an entry needs a key beside except"},
      {"grpc beside path", WithTo("{ grpc: { service: a.B }, path: / }"),
       "grpc means path and methods"},
      {"grpc name", WithTo("{ grpc: { service: a/B } }"), "the name of a gRPC service"},
      {"unknown identity set", WithFrom("[{ identitySet: auditors }]"),
       "policy set \"shop\" has no IdentitySet \"auditors\""},
      {"outside the scope",
       Concat(kSetHead,
              "  appliesTo: { id: spiffe://other/a }\n"
              "  rules: [{ name: r, effect: deny, from: anyone }]\n"),
       "lies outside the scope"},
      {"bad range", WithFrom("[{ peerIp: 10.0.0.0/33 }]"), "bad prefix length"},
      {"bad address", WithFrom("[{ peerIp: 10.0.1 }]"), "bad IP range"},
  });
}

TEST(LoaderRefusesTest, SetsThatPromiseWhatIsNotKept) {
  auto set = [](std::string_view spec) {
    return Concat(
        "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: g }\n"
        "spec: { owner: { id: spiffe://td/ana }",
        spec, " }\n");
  };
  std::string guardrail = set(", guardrail: true") +
                          "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\n"
                          "metadata: { name: p }\nspec:\n  appliesTo: all\n";
  ExpectRefused({
      {"no scope", set(""), "required key \"scope\" is missing"},
      {"guardrail with a scope", set(", guardrail: true, scope: { under: spiffe://td } "),
       "a guardrail set has no scope"},
      {"approvals", set(", scope: { under: spiffe://td }, approvals: { widening: 2 }"),
       "approvals are not enforced by this version"},
      {"break glass", set(", scope: { under: spiffe://td }, breakGlass: { allowed: true }"),
       "break-glass access is not in this version"},
      {"guardrail that allows", guardrail + "  rules: [{ name: r, effect: allow, from: anyone }]\n",
       "a guardrail set may hold only denies"},
      {"guardrail that lets through",
       guardrail + "  unmatched: { dryRun: true, until: 2030-01-01 }\n",
       "a guardrail set may hold only denies"},
  });
}

TEST(LoaderRefusesTest, TestsThatTestNothing) {
  auto test = [](std::string_view request, std::string_view rest) {
    return Concat(kSetHead,
                  "  appliesTo: all\n  rules: [{ name: reads, effect: deny, from: anyone }]\n"
                  "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicyTest\n"
                  "metadata: { name: t }\nspec:\n  cases:\n    - name: c\n      request: ",
                  request, "\n", rest);
  };
  std::string deny = "      expect: deny\n";
  ExpectRefused({
      {"no method", test("{ workload: spiffe://td/a, path: / }", deny),
       "required key \"method\" is missing"},
      {"tcp with a path", test("{ kind: tcp, workload: spiffe://td/a, path: / }", deny),
       "a tcp connection has no path"},
      {"query in the path", test("{ workload: spiffe://td/a, method: GET, path: '/?a=b' }", deny),
       "write query parameters under query"},
      {"unknown rule",
       test("{ workload: spiffe://td/a, method: GET, path: / }",
            deny + "      rule: shop/p/read\n"),
       "no rule is named \"shop/p/read\" (did you mean \"shop/p/reads\"?)"},
      {"short rule",
       test("{ workload: spiffe://td/a, method: GET, path: / }", deny + "      rule: reads\n"),
       "rule must be SET/POLICY/RULE"},
      {"claims", test("{ workload: spiffe://td/a, method: GET, path: /, claims: { a: b } }", deny),
       "claims need a TokenIssuer"},
      {"no expectation", test("{ workload: spiffe://td/a, method: GET, path: / }", ""),
       "required key \"expect\" is missing"},
  });
}

TEST(LoaderRefusesTest, AllErrorsOfAllFilesAtOnce) {
  std::vector<SourceFile> files = {
      {"shop/set.yaml", Concat(kSetHead,
                               "  appliesTo: al\n  rules:\n    - name: r\n"
                               "      effect: alow\n      form: anyone\n"
                               "      to: [{ methods: [get], path: x }]\n")},
      {"shop/more.yaml", Head("PolicyTest", "  casez: []\n")},
      {"broken.yaml", "a: [\n"},
  };
  LoadResult result = Load(files);
  EXPECT_EQ(Findings(result),
            "broken.yaml:2:1: not YAML: end of sequence flow not found\n"
            "shop/more.yaml:5:3: unknown key \"casez\" (did you mean \"cases\"?)\n"
            "shop/more.yaml:5:3: required key \"cases\" is missing in spec\n"
            "shop/set.yaml:10:14: appliesTo: unknown word \"al\" (did you mean \"all\"?)\n"
            "shop/set.yaml:12:7: required key \"from\" is missing in rules\n"
            "shop/set.yaml:13:15: effect: unknown word \"alow\" (did you mean \"allow\"?)\n"
            "shop/set.yaml:14:7: unknown key \"form\" (did you mean \"from\"?)\n"
            "shop/set.yaml:15:24: methods: must be a method in upper case, not \"get\"\n"
            "shop/set.yaml:15:36: path: path \"x\" must begin with /\n");
}

}  // namespace
}  // namespace countersign::authz
