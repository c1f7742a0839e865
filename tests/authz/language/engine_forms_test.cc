// What the engine makes of patterns, held against RE2 on generated patterns: its automata judge the
// same, and no match lacks the literals by which patterns are picked.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <algorithm>

#include "authz/engine/pattern_automaton.h"
#include "authz/engine/regex.h"
#include "authz/engine/required_literals.h"
#include "authz/language/parse_pattern.h"
#include "tests/support/pattern_generator.h"

namespace countersign::authz::language {
namespace {

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

bool Holds(const engine::LiteralChoice& choice, const std::string& lower) {
  return std::any_of(choice.begin(), choice.end(), [&](const std::string& literal) {
    return lower.find(literal) != std::string::npos;
  });
}

TEST(EngineFormsTest, AutomataAndRequiredLiteralsAgreeWithRe2) {
  Random random(4711);
  int automata = 0;
  int with_literals = 0;
  int matched = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string pattern = GeneratePattern(random);
    auto re2 = engine::CompilePattern(pattern, EngineLimits());
    if (!re2.ok()) {
      continue;
    }
    auto language = Language::FromPattern(pattern);
    auto automaton = engine::PatternAutomaton::Create(pattern, EngineLimits());
    if (!language.ok() || !automaton.ok()) {
      EXPECT_TRUE(automaton.ok() || IsTooLarge(automaton.status())) << automaton.status();
      continue;
    }
    ++automata;
    auto expression = ParsePattern(pattern, {});
    ASSERT_TRUE(expression.ok());
    std::vector<engine::LiteralChoice> choices = engine::RequiredLiterals(*expression);
    with_literals += choices.empty() ? 0 : 1;
    BorderTexts border(*language);
    std::string text;
    for (int t = 0; t < 60; ++t) {
      border.Next(random, text);
      bool matches = RE2::FullMatch(re2::StringPiece(text.data(), text.size()), **re2);
      ASSERT_EQ(automaton->Matches(text), matches) << Quoted(pattern) << " on " << Quoted(text);
      matched += matches ? 1 : 0;
      for (const engine::LiteralChoice& choice : choices) {
        ASSERT_TRUE(!matches || Holds(choice, Lower(text)))
            << Quoted(pattern) << " on " << Quoted(text) << " lacks " << Quoted(choice[0]);
      }
    }
  }
  EXPECT_GT(automata, 2000);
  EXPECT_GT(with_literals, 1000);
  EXPECT_GT(matched, 30'000);
}

TEST(EngineFormsTest, RequiredLiteralsOfCommonPatterns) {
  auto of = [](std::string_view pattern) {
    return engine::RequiredLiterals(*ParsePattern(pattern, {}));
  };
  using Choices = std::vector<engine::LiteralChoice>;
  EXPECT_EQ(of(".*/admin7(/.*)?"), (Choices{{"/admin7"}}));
  EXPECT_EQ(of("(?i).*/Admin(s|z)x.*"), (Choices{{"/adminsx", "/adminzx"}}));
  EXPECT_EQ(of("/a/[^/]+/b[0-9]+"), (Choices{{"/a/"}, {"/b"}}));
  EXPECT_EQ(of("[a-z]+"), Choices());
  EXPECT_EQ(of("(.*/x|y)"), (Choices{{"/x", "y"}}));
  EXPECT_EQ(of("(.*|y)"), Choices());
  EXPECT_EQ(of("a*b?"), Choices());
  EXPECT_EQ(of("(?:ab)+"), (Choices{{"ab"}}));
}

}  // namespace
}  // namespace countersign::authz::language
