// Generated patterns and border texts, held against RE2. `language_differential` runs the same for
// as long as one likes.
#include <gtest/gtest.h>

#include "authz/engine/regex.h"
#include "tests/support/language_differential.h"

namespace countersign::authz::language {
namespace {

TEST(LanguageDifferentialTest, AgreesWithRe2OnGeneratedPatternsAndBorderTexts) {
  Random random(20220601);
  DifferentialTally tally;
  while (tally.pairs < 300'000) {
    EXPECT_EQ(ComparePattern(GeneratePattern(random), 128, random, tally), std::nullopt);
    ASSERT_LT(tally.disagreements, 5U);
  }
  // The draw is worth something: both verdicts are common, and so are refusals.
  EXPECT_GT(tally.matched, tally.pairs / 4);
  EXPECT_LT(tally.matched, tally.pairs * 3 / 4);
  EXPECT_GT(tally.refused, tally.patterns / 20);
  EXPECT_LT(tally.too_large, tally.patterns / 100);
}

TEST(LanguageDifferentialTest, PatternsOfPoliciesAgreeWithRe2) {
  Random random(7);
  DifferentialTally tally;
  for (std::string_view pattern :
       {"spiffe://shop\\.example/ns/(prod|stage)/sa/mobile-[a-z]+", "[a-z0-9-]{1,32}",
        "/v[0-9]+/status", "/api/v[12]/orders/[^/]+(/items(/[0-9]+)?)?", ".*/admin(/.*)?",
        "/pkg\\.Orders/(Get|List|Watch)", "(?i)bearer [A-Za-z0-9._~+/-]+=*",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "^/public/|/private/$",
        "\\bfoo\\b.*\\Bbar", "(?m)^a.*b$\n?", "(?:[0-9]{1,3}\\.){3}[0-9]{1,3}"}) {
    EXPECT_EQ(ComparePattern(pattern, 4000, random, tally), std::nullopt);
  }
  EXPECT_EQ(tally.pairs, 12U * 4000);
}

// The library in itself looks for the UTF-8 of what follows the anchor.
TEST(LanguageDifferentialTest, TheEngineJudgesAnchoredAlternativesOfHighBytesAsBytes) {
  for (std::string_view pattern :
       {"^(?:\xE9x|\xE9y)", "\\A(?:\xE9x|\xE9y)", "^(?i:\xE9X|\xE9y)$"}) {
    auto compiled = engine::CompilePattern(pattern, EngineLimits());
    ASSERT_TRUE(compiled.ok());
    EXPECT_TRUE(RE2::FullMatch("\xE9x", **compiled));
    EXPECT_TRUE(RE2::FullMatch("\xE9y", **compiled));
    EXPECT_FALSE(RE2::FullMatch("\xC3\xA9x", **compiled));
    EXPECT_EQ(engine::RequiredPrefix(**compiled).substr(0, 2).find("\xC3"), std::string::npos);
    EXPECT_EQ(CompareText(pattern, "\xE9x"), std::nullopt);
    EXPECT_EQ(CompareText(pattern, "\xC3\xA9x"), std::nullopt);
  }
}

}  // namespace
}  // namespace countersign::authz::language
