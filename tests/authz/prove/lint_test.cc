#include "authz/prove/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/authz/prove/yaml_sets.h"

namespace countersign::authz::prove {
namespace {

using Kind = LintFinding::Kind;

std::vector<std::pair<Kind, std::string>> Lint(const std::string& rules) {
  auto findings = LintRules(ShopSet(rules), {});
  EXPECT_TRUE(findings.ok()) << findings.status();
  std::vector<std::pair<Kind, std::string>> out;
  for (const LintFinding& finding : *findings) {
    out.emplace_back(finding.kind, finding.rule);
  }
  return out;
}

std::string Rule(const std::string& name, const std::string& effect, const std::string& from,
                 const std::string& to) {
  return Concat("    - name: ", name, "\n      effect: ", effect, "\n      from: ", from, "\n",
                "      to: [", to, "]\n");
}

TEST(ProveLintTest, RulesThatEachDoSomethingAreFine) {
  EXPECT_TRUE(Lint(Rule("a", "allow", "mesh", "{ path: /a/** }") +
                   Rule("b", "allow", "authenticated", "{ path: /a/b }") +
                   Rule("c", "deny", "anyone", "{ protocol: http, path: /a/c }"))
                  .empty());
}

TEST(ProveLintTest, ARuleThatOthersTogetherHoldIsShadowed) {
  EXPECT_THAT(Lint(Rule("low", "allow", "mesh", "{ path: { re2: '/[a-m]+' } }") +
                   Rule("high", "allow", "mesh", "{ path: { re2: '/[n-z].*' } }") +
                   Rule("one", "allow", "mesh", "{ path: { re2: '/[l-o]' } }")),
              ::testing::ElementsAre(std::pair(Kind::kShadowed, "shop/p/one")));
}

std::string OnlyMessage(const std::string& rules) {
  auto findings = LintRules(ShopSet(rules), {});
  EXPECT_TRUE(findings.ok()) << findings.status();
  EXPECT_EQ(findings->size(), 1U);
  return findings->empty() ? "" : findings->front().message;
}

TEST(ProveLintTest, ARuleThatChangesNothingNamesTheRuleThatHasItsRequests) {
  EXPECT_EQ(OnlyMessage(Rule("elsewhere", "allow", "mesh", "{ path: /b }") +
                        Rule("overlaps", "allow", "mesh", "{ path: { re2: '/(a/[x-z]|q)' } }") +
                        Rule("wide", "allow", "authenticated", "{ path: /a/** }") +
                        Rule("one", "allow", "mesh", "{ path: [/a/b, /a/x] }")),
            "rule shop/p/one changes nothing: other allows have all of its requests, "
            "shop/p/wide alone");
  // Each of the two has some; either is a fair one to name.
  EXPECT_THAT(OnlyMessage(Rule("low", "allow", "mesh", "{ path: { re2: '/[a-m]+' } }") +
                          Rule("high", "allow", "mesh", "{ path: { re2: '/[n-z].*' } }") +
                          Rule("one", "allow", "mesh", "{ path: { re2: '/[l-o]' } }")),
              ::testing::AnyOf(::testing::EndsWith("requests, shop/p/low some"),
                               ::testing::EndsWith("requests, shop/p/high some")));
  EXPECT_EQ(OnlyMessage(Rule("wide", "deny", "anyone", "{ protocol: http, path: /a/** }") +
                        Rule("one", "deny", "anyone", "{ protocol: http, path: /a/x }")),
            "rule shop/p/one changes nothing: other denies have all of its requests, "
            "shop/p/wide alone");
}

TEST(ProveLintTest, TwoRulesOfTheSameRequestsNameEachOther) {
  auto findings = LintRules(ShopSet(Rule("a", "allow", "mesh", "{ path: /a }") +
                                    Rule("b", "allow", "mesh", "{ path: /a }")),
                            {});
  ASSERT_TRUE(findings.ok()) << findings.status();
  ASSERT_EQ(findings->size(), 2U);
  EXPECT_THAT((*findings)[0].message, ::testing::HasSubstr("requests, shop/p/b alone"));
  EXPECT_THAT((*findings)[1].message, ::testing::HasSubstr("requests, shop/p/a alone"));
}

TEST(ProveLintTest, AnAllowThatChangesNothingNamesTheDenyToo) {
  EXPECT_EQ(OnlyMessage(Rule("admin", "allow", "mesh", "{ path: /admin/x }") +
                        Rule("other", "deny", "anyone", "{ protocol: http, path: /x/** }") +
                        Rule("closed", "deny", "anyone", "{ protocol: http, path: /admin/** }")),
            "rule shop/p/admin allows nothing: denies take all of its requests, "
            "shop/p/closed alone");
  EXPECT_EQ(OnlyMessage(Rule("one", "allow", "mesh", "{ path: [/a, /b] }") +
                        Rule("a", "allow", "mesh", "{ path: [/a, /c] }") +
                        Rule("b", "deny", "anyone", "{ protocol: http, path: /b }")),
            "rule shop/p/one changes nothing: other allows have, or denies take, all of its "
            "requests, shop/p/a some");
}

TEST(ProveLintTest, AnAllowThatDeniesTakeWholly) {
  EXPECT_THAT(Lint(Rule("admin", "allow", "mesh", "{ path: /admin/x }") +
                   Rule("closed", "deny", "anyone", "{ protocol: http, path: /admin/** }")),
              ::testing::ElementsAre(std::pair(Kind::kFullyDenied, "shop/p/admin")));
}

TEST(ProveLintTest, ARuleWhoseConditionsExcludeEachOtherNeverMatches) {
  EXPECT_THAT(Lint(Rule("a", "allow",
                        "[{ id: { under: spiffe://shop.example }, trustDomain: partner.example }]",
                        "{ methods: [GET] }")),
              ::testing::ElementsAre(std::pair(Kind::kNeverMatches, "shop/p/a")));
}

TEST(ProveLintTest, APatternThatNoCanonicalPathMatchesIsDead) {
  auto findings = LintRules(
      ShopSet(Rule("a", "deny", "anyone",
                   "{ protocol: http, path: [/x, { re2: '/admin//.*' }, { re2: '/a/../b' }] }")),
      {});
  ASSERT_TRUE(findings.ok()) << findings.status();
  ASSERT_EQ(findings->size(), 1U);
  EXPECT_EQ(findings->front().kind, Kind::kDeadPattern);
  EXPECT_THAT(findings->front().message, ::testing::HasSubstr("re2 '/admin//.*'"));
}

TEST(ProveLintTest, AnAllowByPathOfIdAdmitsEveryTrustDomain) {
  auto findings =
      LintRules(ShopSet(Rule("a", "allow", "[{ id: { re2: 'spiffe://.+/ns/prod/sa/web' } }]",
                             "{ methods: [GET] }") +
                        Rule("b", "allow", "[{ id: { re2: 'spiffe://[a-z]+\\.example/x' } }]",
                             "{ methods: [GET] }")),
                {});
  ASSERT_TRUE(findings.ok()) << findings.status();
  ASSERT_EQ(findings->size(), 1U);
  EXPECT_EQ(findings->front().kind, Kind::kAnyDomain);
  EXPECT_THAT(findings->front().message, ::testing::HasSubstr("\"spiffe://a/ns/prod/sa/web\""));
}

}  // namespace
}  // namespace countersign::authz::prove
