// The laws of sets, on generated pairs of patterns: where two sides must be the same language, they
// must be the same automaton.
#include <gtest/gtest.h>

#include "authz/language/search.h"
#include "tests/support/language_differential.h"

namespace countersign::authz::language {
namespace {

// A generated language of moderate size, so that products of three stay small.
Language Draw(Random& random, std::string* pattern) {
  for (;;) {
    *pattern = GeneratePattern(random);
    StatusOr<Language> language = Language::FromPattern(*pattern);
    if (language.ok() && language->dfa().states() <= 200) {
      return *std::move(language);
    }
  }
}

class LanguageAlgebraTest : public ::testing::Test {
 protected:
  static constexpr int kPairs = 400;
  Random random_{42};
};

TEST_F(LanguageAlgebraTest, KeepsTheLawsOfSets) {
  std::string a_text;
  std::string b_text;
  for (int i = 0; i < kPairs; ++i) {
    Language a = Draw(random_, &a_text);
    Language b = Draw(random_, &b_text);
    SCOPED_TRACE(Quoted(a_text) + " and " + Quoted(b_text));
    Language both = *Intersection(a, b);
    Language either = *Union(a, b);
    Language a_only = *Difference(a, b);
    EXPECT_EQ(a.Complement().Complement(), a);
    EXPECT_EQ(either.Complement(), *Intersection(a.Complement(), b.Complement()));
    EXPECT_EQ(both.Complement(), *Union(a.Complement(), b.Complement()));
    EXPECT_EQ(either, *Union(b, a));
    EXPECT_EQ(a_only, *Intersection(a, b.Complement()));
    EXPECT_EQ(*Union(both, a_only), a);
    EXPECT_TRUE(Difference(a, a)->IsNothing());
    EXPECT_TRUE(Union(a, a.Complement())->IsEverything());
    EXPECT_EQ(*Union(a, Language::Nothing()), a);
    EXPECT_EQ(*Intersection(a, Language::Everything()), a);
    BorderTexts border(either);
    std::string text;
    for (int j = 0; j < 64; ++j) {
      border.Next(random_, text);
      bool in_a = a.Matches(text);
      bool in_b = b.Matches(text);
      EXPECT_EQ(both.Matches(text), in_a && in_b);
      EXPECT_EQ(either.Matches(text), in_a || in_b);
      EXPECT_EQ(a_only.Matches(text), in_a && !in_b);
    }
  }
}

TEST_F(LanguageAlgebraTest, IncludesExactlyIfNothingIsLeft) {
  std::string a_text;
  std::string b_text;
  int included = 0;
  for (int i = 0; i < kPairs; ++i) {
    Language a = Draw(random_, &a_text);
    Language b = Draw(random_, &b_text);
    SCOPED_TRACE(Quoted(a_text) + " and " + Quoted(b_text));
    Language rest = *Difference(a, b);
    std::optional<std::string> outside = *FindOutside({.inner = a, .outer = b});
    EXPECT_EQ(outside.has_value(), !rest.IsNothing());
    EXPECT_EQ(outside, Witness(rest));
    EXPECT_EQ(*FindOutside({.inner = a, .outer = *Union(a, b)}), std::nullopt);
    EXPECT_EQ(*FindOutside({.inner = *Intersection(a, b), .outer = b}), std::nullopt);
    if (outside) {
      EXPECT_EQ(CompareText(a_text, *outside), std::nullopt);
      EXPECT_EQ(CompareText(b_text, *outside), std::nullopt);
      EXPECT_TRUE(a.Matches(*outside) && !b.Matches(*outside));
    } else {
      ++included;
    }
  }
  EXPECT_GT(included, 0);
}

TEST_F(LanguageAlgebraTest, EveryWitnessMatchesInRe2Too) {
  std::string pattern;
  int witnesses = 0;
  for (int i = 0; i < 2 * kPairs; ++i) {
    Language language = Draw(random_, &pattern);
    std::optional<std::string> witness = Witness(language);
    EXPECT_EQ(witness.has_value(), !language.IsNothing()) << Quoted(pattern);
    if (witness) {
      ++witnesses;
      EXPECT_TRUE(language.Matches(*witness)) << Quoted(pattern);
      EXPECT_EQ(CompareText(pattern, *witness), std::nullopt);
    }
  }
  EXPECT_GT(witnesses, kPairs);
}

// Every text of up to four bytes over a small alphabet: a check that needs no automaton.
TEST_F(LanguageAlgebraTest, EmptinessAndWitnessAgreeWithBruteForce) {
  std::vector<std::string> texts = {""};
  for (size_t begin = 0, end = 1, length = 0; length < 4;
       ++length, begin = end, end = texts.size()) {
    for (size_t i = begin; i < end; ++i) {
      for (char c : {'a', 'b', '/'}) {
        texts.push_back(texts[i] + c);
      }
    }
  }
  const Language alphabet = *Language::FromPattern("[ab/]{0,4}");
  std::vector<std::string> patterns = {
      "a*b",  "(?:ab|a)*", "[^/]+(?:/[^/]+)*", "\\b..\\b",  "a?b?a?",
      ".*a.", "/.*|b",     "(?:a|b/)+",        "\\Ba|b\\b", "^.?$"};
  for (const std::string& a_text : patterns) {
    for (const std::string& b_text : patterns) {
      Language a = *Language::FromPattern(a_text);
      Language b = *Language::FromPattern(b_text);
      std::optional<size_t> shortest;
      for (const std::string& text : texts) {
        if (a.Matches(text) && !b.Matches(text)) {
          shortest = text.size();
          break;  // They stand by length.
        }
      }
      Constraint constraints[] = {
          {.language = &a}, {.language = &b, .side = Side::kOutside}, {.language = &alphabet}};
      std::optional<std::string> found = *FindText(constraints);
      ASSERT_EQ(found.has_value(), shortest.has_value()) << a_text << " minus " << b_text;
      EXPECT_TRUE(!found || found->size() == *shortest) << a_text << " minus " << b_text;
    }
  }
}

}  // namespace
}  // namespace countersign::authz::language
