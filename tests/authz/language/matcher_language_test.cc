// Each matcher's language against both evaluators' own functions.
#include "authz/language/matcher_language.h"

#include <gtest/gtest.h>

#include "authz/engine/predicate.h"
#include "authz/language/search.h"
#include "tests/support/pattern_generator.h"

namespace countersign::authz::language {
namespace {

using Kind = Matcher::Kind;

Matcher Make(Kind kind, std::string_view text) {
  Matcher matcher;
  matcher.kind = kind;
  matcher.text = text;
  return matcher;
}

struct Row {
  Kind kind;
  std::string text;
  std::vector<std::string> matches;
  std::vector<std::string> misses;
};

TEST(MatcherLanguageTest, HoldsWhatTheMatcherMatches) {
  const Row kRows[] = {
      {Kind::kExact, "/a.b", {"/a.b"}, {"/aXb", "/a.b/", ""}},
      {Kind::kUnder,
       "/orders",
       {"/orders", "/orders/", "/orders/7"},
       {"/orders-admin", "/order", "/"}},
      {Kind::kUnder, "/", {"/", "/a"}, {"", "a"}},
      {Kind::kUnder, "spiffe://td", {"spiffe://td", "spiffe://td/ns"}, {"spiffe://tdx"}},
      {Kind::kPrefix, "/a", {"/a", "/ab", "/a\n"}, {"/", "b/a"}},
      {Kind::kSuffix, ".com", {".com", "a.com"}, {"com", ".com."}},
      {Kind::kTemplate, "/o/{id}", {"/o/7"}, {"/o/", "/o", "/o/7/", "/o/7/8"}},
      {Kind::kTemplate, "/o/{id}/i", {"/o/7/i"}, {"/o//i", "/o/7/i/"}},
      {Kind::kTemplate, "/o/{id}/**", {"/o/7", "/o/7/", "/o/7/8/9"}, {"/o/", "/o"}},
      {Kind::kTemplate, "/{a}/{b}", {"/x/y"}, {"/x", "/x/", "//y"}},
      {Kind::kRe2, "/v[0-9]+", {"/v12"}, {"/v", "/v1/"}},
      {Kind::kPresent, "", {"", "x"}, {}},
      {Kind::kAbsent, "", {}, {"", "x"}},
  };
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.text);
    StatusOr<Language> language = LanguageOf(Make(row.kind, row.text));
    ASSERT_TRUE(language.ok()) << language.status();
    for (const std::string& text : row.matches) {
      EXPECT_TRUE(language->Matches(text)) << text;
    }
    for (const std::string& text : row.misses) {
      EXPECT_FALSE(language->Matches(text)) << text;
    }
  }
}

TEST(MatcherLanguageTest, AgreesWithTheEngineOnBorderTexts) {
  Random random(3);
  for (std::string_view text :
       {"/", "/orders", "/a/{x}", "/{x}", "/a/{x}/b", "/a/{x}/**", "/{x}/{y}/**", "/a/b/"}) {
    Language under = *LanguageOf(Make(Kind::kUnder, text));
    Language path_template = *LanguageOf(Make(Kind::kTemplate, text));
    Language either = *Union(under, path_template);
    BorderTexts border(either);
    std::string drawn;
    for (int i = 0; i < 2000; ++i) {
      border.Next(random, drawn);
      EXPECT_EQ(under.Matches(drawn), engine::MatchesUnder(text, drawn)) << Quoted(drawn);
      EXPECT_EQ(path_template.Matches(drawn), engine::MatchesTemplate(text, drawn))
          << Quoted(drawn);
    }
  }
}

TEST(MatcherLanguageTest, AnyIsTheUnionAndNothingWithoutMatchers) {
  Matcher matchers[] = {Make(Kind::kExact, "GET"), Make(Kind::kExact, "HEAD"),
                        Make(Kind::kRe2, "P.*")};
  EXPECT_EQ(*LanguageOfAny(matchers), *Language::FromPattern("GET|HEAD|P.*"));
  EXPECT_TRUE(LanguageOfAny({})->IsNothing());
}

TEST(MatcherLanguageTest, RefusesWhatHasNoLanguage) {
  EXPECT_EQ(LanguageOf(Make(Kind::kIp, "")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(LanguageOf(Make(Kind::kPort, "")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(LanguageOf(Make(Kind::kRe2, "(")).status().code(), StatusCode::kInvalidArgument);
  Matcher bad[] = {Make(Kind::kExact, "a"), Make(Kind::kRe2, "(?:a|b)*a(?:a|b){20}")};
  EXPECT_TRUE(IsTooLarge(LanguageOfAny(bad).status()));
}

TEST(MatcherLanguageTest, ProvesThatATemplateStaysUnderItsBorder) {
  Language border = *LanguageOf(Make(Kind::kUnder, "/orders"));
  Language path_template = *LanguageOf(Make(Kind::kTemplate, "/orders/{id}/**"));
  EXPECT_EQ(*FindOutside({.inner = path_template, .outer = border}), std::nullopt);
  EXPECT_EQ(*FindOutside({.inner = border, .outer = path_template}), "/orders");
}

}  // namespace
}  // namespace countersign::authz::language
