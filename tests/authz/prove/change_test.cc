// What a report says of a change: its regions in words, its requests, its limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/engine/naive_authorizer.h"
#include "authz/prove/diff.h"
#include "authz/prove/witness.h"
#include "tests/authz/prove/yaml_sets.h"

namespace countersign::authz::prove {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Rule(const std::string& name, const std::string& effect, const std::string& from,
                 const std::string& to) {
  return Concat("    - name: ", name, "\n      effect: ", effect, "\n      from: ", from, "\n",
                to.empty() ? "" : Concat("      to: ", to, "\n"));
}

DiffReport Diff(const std::string& before, const std::string& after) {
  auto report = DiffPolicies(ShopSet(before), ShopSet(after), {});
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *report : DiffReport();
}

TEST(ChangeTest, OtherWordsForTheSameRequestsAreNoChange) {
  EXPECT_TRUE(Diff(Rule("a", "allow", "mesh", "[{ path: /files/** }]"),
                   Rule("b", "allow", "mesh", "[{ path: { re2: '/files(/.*)?' } }]"))
                  .same());
  EXPECT_TRUE(Diff(Rule("a", "allow", "anyone", "[{ methods: [GET, PUT], path: /a }]"),
                   Rule("a", "allow", "anyone", "[{ methods: [GET], path: /a }]") +
                       Rule("b", "allow", "anyone", "[{ methods: [PUT], path: /a }]"))
                  .same());
}

TEST(ChangeTest, ADenyUnderAnAllowIsOneRegionInTheWordsOfTheRules) {
  const std::string kAllow =
      Rule("reads", "allow", "[{ id: spiffe://shop.example/ns/prod/sa/web }]",
           "[{ methods: [GET], path: { under: /orders } }]");
  const std::string kDeny =
      Rule("closed", "deny", "anyone", "[{ protocol: http, path: { under: /orders/admin } }]");
  DiffReport report = Diff(kDeny, kAllow + kDeny);
  ASSERT_EQ(report.changes.size(), 1U);
  EXPECT_TRUE(report.complete);
  const Change& change = report.changes[0];
  EXPECT_TRUE(change.newly_allowed);
  EXPECT_THAT(change.conditions,
              ElementsAre("workload under spiffe://shop.example/ns/prod",
                          "caller spiffe://shop.example/ns/prod/sa/web", "method GET",
                          "path under /orders except under /orders/admin", "protocol http"));
  EXPECT_EQ(change.before.reason, Reason::kNoRuleMatched);
  EXPECT_EQ(change.after.rule, "shop/p/reads");
  EXPECT_EQ(RequestText(change.request),
            "{ caller: spiffe://shop.example/ns/prod/sa/web, workload: "
            "spiffe://shop.example/ns/prod, method: GET, path: /orders }");
}

TEST(ChangeTest, OfAListOfTextsOnlyThoseAreSaidThatChange) {
  DiffReport report = Diff(Rule("a", "allow", "mesh", "[{ methods: [GET], path: /a }]"),
                           Rule("a", "allow", "mesh", "[{ methods: [GET, POST], path: /a }]"));
  ASSERT_EQ(report.changes.size(), 1U);
  EXPECT_THAT(report.changes[0].conditions, ::testing::Contains("method POST"));

  report = Diff(Rule("a", "allow", "mesh", "[{ path: [/a, /b/c, /d] }]") +
                    Rule("no", "deny", "anyone", "[{ protocol: http, path: /b/** }]"),
                Rule("no", "deny", "anyone", "[{ protocol: http, path: /b/** }]"));
  ASSERT_EQ(report.changes.size(), 1U);
  EXPECT_THAT(report.changes[0].conditions, ::testing::Contains("path /a or /d"));
}

TEST(ChangeTest, NewlyAllowedComesBeforeNewlyDenied) {
  DiffReport report = Diff(Rule("a", "allow", "mesh", "[{ protocol: http, path: /a }]"),
                           Rule("a", "allow", "mesh", "[{ protocol: http, path: /b }]"));
  ASSERT_EQ(report.changes.size(), 2U);
  EXPECT_TRUE(report.changes[0].newly_allowed);
  EXPECT_EQ(report.changes[0].request.path, "/b");
  EXPECT_FALSE(report.changes[1].newly_allowed);
  EXPECT_EQ(report.changes[1].request.path, "/a");
}

TEST(ChangeTest, ANewNamedHeaderRefusesRequestsThatRepeatIt) {
  const std::string kAll = Rule("all", "allow", "mesh", "[{ protocol: http }]");
  DiffReport report = Diff(kAll, kAll +
                                     Rule("x", "deny", "[{ id: spiffe://shop.example/never }]",
                                          "[{ protocol: http, path: /never }]") +
                                     "      when: { headers: { x-tenant: acme } }\n");
  bool repeated = false;
  for (const Change& change : report.changes) {
    EXPECT_FALSE(change.newly_allowed);
    repeated = repeated || (change.after.reason == Reason::kAmbiguousField &&
                            change.request.headers.size() == 2);
  }
  EXPECT_TRUE(repeated);
}

TEST(ChangeTest, ADenyByHttpFieldsClosesRawConnectionsToo) {
  const std::string kAll = Rule("all", "allow", "mesh", "");
  DiffReport report = Diff(kAll, kAll + Rule("no", "deny", "anyone", "[{ methods: [DELETE] }]"));
  bool tcp = false;
  for (const Change& change : report.changes) {
    tcp = tcp || !change.request.http;
  }
  EXPECT_TRUE(tcp);
}

TEST(ChangeTest, PatternsThatMultiplyEndInGivingUpWithTheirNames) {
  std::string before;
  std::string after;
  for (int i = 0; i < 40; ++i) {
    std::string rule = Rule(Concat("r", i), "allow", "mesh",
                            Concat("[{ protocol: http, path: { re2: '/.*a.{", i + 6, "}b' } }]"));
    before += rule;
    after += i == 7 ? "" : rule;
  }
  auto report = DiffPolicies(ShopSet(before), ShopSet(after), {});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(report.status())), HasSubstr("at path"));
  EXPECT_THAT(std::string(Message(report.status())), HasSubstr("re2 '/.*a.{"));
}

TEST(ChangeTest, ManyFloatingPatternsOfOneKindAreTakenTogether) {
  std::string rules;
  for (int i = 0; i < 60; ++i) {
    rules += Rule(Concat("r", i), "allow", "mesh",
                  Concat("[{ protocol: http, path: { re2: '.*/admin", i, "x(/.*)?' } }]"));
  }
  auto report = DiffPolicies(
      ShopSet(rules),
      ShopSet(rules + Rule("more", "allow", "mesh",
                           "[{ protocol: http, path: { re2: '.*/admin99x(/.*)?' } }]")),
      {});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->changes.size(), 1U);
  EXPECT_EQ(report->changes[0].request.path, "/admin99x");
}

// Every request of a small space: no sample, no luck.
TEST(ChangeTest, RegionsAreExactOverEveryRequestOfASmallSpace) {
  const std::string kBefore =
      Rule("a", "allow", "[{ id: { under: spiffe://shop.example/a } }, { trustDomain: b.c }]",
           "[{ path: { re2: '/[ab]*' }, methods: [GET] }]") +
      Rule("d", "deny", "[{ id: { re2: '.*/x' }, peerIp: 10.0.0.0/8 }]", "[{ protocol: http }]");
  const std::string kAfter =
      Rule("a", "allow", "mesh", "[{ path: { re2: '/a[ab]*' } }, { path: '/b/{x}', port: 80 }]") +
      "      when: { headers: { x-a: { re2: 'a*', many: true } } }\n" +
      Rule("d", "deny", "[{ id: { present: true }, except: { peerIp: 10.1.0.0/16 } }]",
           "[{ methods: [PUT] }]");
  PolicySets before = ShopSet(kBefore);
  PolicySets after = ShopSet(kAfter);
  auto report = DiffPolicies(before, after, {});
  ASSERT_TRUE(report.ok()) << report.status();
  auto old_naive = NaiveAuthorizer::Create(before);
  auto new_naive = NaiveAuthorizer::Create(after);
  ASSERT_TRUE(old_naive.ok() && new_naive.ok());
  const std::vector<std::vector<NameValue>> kHeaders = {{},
                                                        {{"x-a", "a"}},
                                                        {{"x-a", "b"}},
                                                        {{"x-a", "a"}, {"x-a", "aa"}},
                                                        {{"x-a", "a"}, {"x-a", "b"}}};
  size_t changed = 0;
  CanonicalRequest request;
  auto judge = [&] {
    bool old_allows = old_naive->Decide(request, {}).effect == Effect::kAllow;
    bool new_allows = new_naive->Decide(request, {}).effect == Effect::kAllow;
    size_t in = 0;
    for (size_t i = 0; i < report->changes.size(); ++i) {
      if (Contains(*report, i, request)) {
        ++in;
        EXPECT_EQ(report->changes[i].newly_allowed, new_allows);
      }
    }
    changed += old_allows != new_allows ? 1 : 0;
    EXPECT_EQ(in, old_allows != new_allows ? 1U : 0U)
        << request.caller << " " << request.method << " " << request.path << " "
        << request.headers.size();
  };
  for (std::string_view callee :
       {"spiffe://shop.example/ns/prod", "spiffe://shop.example/ns/prod/x",
        "spiffe://shop.example/other"}) {
    for (std::string_view caller : {"", "spiffe://shop.example/a", "spiffe://shop.example/a/x",
                                    "spiffe://b.c/x", "spiffe://b.c", "spiffe://d.e"}) {
      for (std::optional<IpAddress> ip :
           {std::optional<IpAddress>(),
            std::optional(IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1}}),
            std::optional(IpAddress{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 0, 1}}),
            std::optional(IpAddress{{0x20, 1}})}) {
        request = {.callee = callee,
                   .caller = caller,
                   .peer_ip = ip,
                   .sni = {},
                   .method = {},
                   .path = {},
                   .host = {},
                   .headers = {},
                   .query = {},
                   .claims = {}};
        judge();
        for (uint16_t port : {uint16_t{0}, uint16_t{80}, uint16_t{81}}) {
          for (std::string_view method : {"GET", "PUT"}) {
            for (std::string_view path : {"/", "/a", "/b", "/ab", "/c", "/b/c", "/b/", "/a/b"}) {
              for (const std::vector<NameValue>& headers : kHeaders) {
                request = {.kind = RequestKind::kHttp,
                           .callee = callee,
                           .caller = caller,
                           .peer_ip = ip,
                           .port = port,
                           .sni = {},
                           .method = method,
                           .path = path,
                           .host = {},
                           .headers = headers,
                           .query = {},
                           .claims = {}};
                judge();
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GT(changed, 1000U);
}

}  // namespace
}  // namespace countersign::authz::prove
