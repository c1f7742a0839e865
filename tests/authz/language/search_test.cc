// Witnesses: the shortest, then the most readable; limits that never answer "none".
#include "authz/language/search.h"

#include <gtest/gtest.h>

namespace countersign::authz::language {
namespace {

Language Of(std::string_view pattern) { return *Language::FromPattern(pattern); }

TEST(SearchTest, GivesTheShortestAndThenTheMostReadableText) {
  struct Row {
    std::string pattern;
    std::optional<std::string> witness;
  };
  const Row kRows[] = {
      {"", ""},
      {".*", ""},
      {".+", "a"},
      {"[^a-z]", "A"},
      {"[^a-zA-Z]", "0"},
      {"\\W", "-"},
      {"[\\x00-\\x20]", " "},
      {"[\\x00-\\x1f]", std::string(1, '\0')},
      {"/admin/.+", "/admin/a"},
      {"foobar|foo", "foo"},
      {"(?i)X{3}", "xxx"},
      {"[^\\x00-\\xff]", std::nullopt},
      {"a\\bb", std::nullopt},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(Witness(Of(row.pattern)), row.witness) << row.pattern;
  }
}

TEST(SearchTest, ShowsWhatAnUnescapedDotLetsIn) {
  EXPECT_EQ(*FindOutside({.inner = Of("prod.example\\.com"), .outer = Of("prod\\.example\\.com")}),
            "prodaexample.com");
  EXPECT_EQ(*FindOutside({.inner = Of("/admin.*"), .outer = Of("/admin(/.*)?")}), "/admina");
  EXPECT_EQ(*FindOutside({.inner = Of("/admin(/.*)?"), .outer = Of("/admin.*")}), std::nullopt);
}

TEST(SearchTest, TakesManyConstraintsAndALength) {
  Language all = Of("[a-z]{3,}");
  Language no_a = Of("[^a]*");
  Language ends = Of(".*z");
  Constraint constraints[] = {
      {.language = &all}, {.language = &no_a, .side = Side::kOutside}, {.language = &ends}};
  EXPECT_EQ(*FindText(constraints), "aaz");
  EXPECT_EQ(*FindText(constraints, 3), "aaz");
  EXPECT_EQ(*FindText(constraints, 2), std::nullopt);
  EXPECT_EQ(*FindText({}, 0), "");
}

TEST(SearchTest, IsAnErrorBeyondItsLimit) {
  LanguageLimits limits;
  limits.search_states_max = 10;
  Language a = Of("(?:a{7})*");
  Language b = Of("(?:a{11})*a");
  Constraint constraints[] = {{.language = &a}, {.language = &b}};
  StatusOr<std::optional<std::string>> found = FindText(constraints, kAnyBytes, limits);
  EXPECT_TRUE(IsTooLarge(found.status()));
  EXPECT_EQ(*FindText(constraints), std::string(56, 'a'));
}

TEST(SearchTest, FindsThatManyFloatingPatternsHaveOneTextInCommon) {
  // Their product would have 2^12 states and more; the walk sees only what it needs.
  std::vector<Language> languages;
  for (char c = 'a'; c < 'm'; ++c) {
    languages.push_back(Of(std::string(".*") + c + ".*"));
  }
  std::vector<Constraint> constraints;
  for (const Language& language : languages) {
    constraints.push_back({.language = &language});
  }
  EXPECT_EQ((*FindText(constraints))->size(), 12U);
}

TEST(SearchTest, ProductsBeyondTheirLimitAreErrors) {
  LanguageLimits limits;
  limits.dfa_states_max = 20;
  EXPECT_TRUE(IsTooLarge(Intersection(Of("(?:a{7})*"), Of("(?:a{11})*"), limits).status()));
  EXPECT_TRUE(Intersection(Of("(?:a{3})*"), Of("(?:a{4})*"), limits).ok());
}

}  // namespace
}  // namespace countersign::authz::language
