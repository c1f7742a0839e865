// Alternatives of one letter in one and in both cases: RE2 20220601 forgets the upper case where
// the lower case alone comes first. Such patterns are refused everywhere, so that what is proved
// and what is judged cannot differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <array>

#include "authz/engine/regex.h"
#include "authz/kinds/loader.h"
#include "authz/language/language.h"
#include "tests/support/language_differential.h"

namespace countersign::authz::language {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

bool InRe2(std::string_view pattern, std::string_view text) {
  RE2 re2(re2::StringPiece(pattern.data(), pattern.size()), engine::PatternOptions(1 << 20));
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), re2);
}

TEST(ForgottenCaseTest, Re2ForgetsTheUpperCaseAndThePatternIsRefused) {
  const std::array<std::string_view, 3> kRows[] = {
      // Pattern, a text that it says it matches and RE2 does not, where the alternative begins.
      {"[a-z]|(?i:a)", "A", "byte 7 of"},      {"a|[Aa]", "A", "byte 3 of"},
      {"xa|x[Aa]", "xA", "byte 4 of"},         {"(?i:x)a|(?i:xa)", "xA", "byte 9 of"},
      {"[xy]a|[xy](?i:a)", "yA", "byte 7 of"}, {"a|((?i:a)|bc)", "A", "byte 3 of"},
      {"(?:a|b)|(?i:a)", "A", "byte 9 of"},    {"x(?:a|b)|x(?i:a)", "xA", "byte 10 of"},
      {"^a|^(?i)a", "A", "byte 4 of"},         {"y(?:[k-m]|[Kk])", "yK", "byte 11 of"},
  };
  for (const auto& [pattern, text, place] : kRows) {
    EXPECT_FALSE(InRe2(pattern, text)) << pattern;
    Status proof = Language::FromPattern(pattern).status();
    EXPECT_THAT(std::string(Message(proof)), AllOf(HasSubstr(place), HasSubstr("either case")))
        << pattern;
    // The evaluators refuse with the same sentence.
    Status judgement = engine::CompilePattern(pattern, EngineLimits()).status();
    EXPECT_THAT(std::string(Message(proof)), HasSubstr(std::string(Message(judgement))));
    EXPECT_EQ(judgement.code(), StatusCode::kInvalidArgument);
  }
}

TEST(ForgottenCaseTest, TheOtherOrderMeansTheSameToBothAndIsAccepted) {
  for (std::string_view pattern :
       {"(?i:a)|[a-z]", "[Aa]|a", "(?i)a|[b-z]|a", "[A-Z]|(?i:a)", "a|(?i:b)", "a|(?i:ab)",
        "(?i:a|b)|c", "a|[a-zA-Z]", "ab|(?i:a)", "a(?:|x)|(?i:a)b", "a*|(?i:a)", "(?i)[a-z]|a"}) {
    for (std::string_view text : {"a", "A", "b", "B", "ab", "AB", "c", "z", "Z", "aA", ""}) {
      EXPECT_EQ(CompareText(pattern, text), std::nullopt) << pattern;
    }
    EXPECT_TRUE(Language::FromPattern(pattern).ok()) << pattern;
  }
}

TEST(ForgottenCaseTest, TheLoaderRefusesItAtItsPlace) {
  std::string file =
      "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec:\n  appliesTo: { id: 'spiffe://shop.example/x' }\n  rules:\n    - name: r\n      "
      "effect: deny\n"
      "      from: anyone\n      to: [{ path: { re2: '/([a-z]|(?i:a))' } }]\n";
  const SourceFile files[] = {{.path = "p.yaml", .content = file}};
  LoadResult loaded = Load(files);
  ASSERT_FALSE(loaded.ok());
  bool named = false;
  for (const Diagnostic& each : loaded.diagnostics) {
    named =
        named || (each.where.line == 10 && each.message.find("byte 9 of") != std::string::npos &&
                  each.message.find("either case") != std::string::npos);
  }
  EXPECT_TRUE(named);
}

// Every way in which few letters can stand in alternatives: what is accepted means the same to
// both, and of what is refused much would have differed.
TEST(ForgottenCaseTest, NothingThatIsAcceptedDiffers) {
  Random random(20220601);
  constexpr std::array<std::string_view, 12> kParts = {
      "a", "A", "[Aa]", "(?i:a)", "b", "(?i:b)", "[ab]", "[a-z]", "x", "(?i:x)", "(?i:ab)", "^"};
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size() && texts[i].size() < 3; ++i) {
    for (char c : {'a', 'A', 'b', 'B', 'x', 'X'}) {
      texts.push_back(texts[i] + c);
    }
  }
  auto draw = [&](auto& self, int depth) -> std::string {
    std::string pattern;
    for (uint32_t choices = 1 + random.Below(4); choices > 0; --choices) {
      for (uint32_t items = 1 + random.Below(3); items > 0; --items) {
        bool group = depth < 2 && random.OneIn(5);
        pattern += group ? "(?:" + self(self, depth + 1) + ")"
                         : std::string(kParts[random.Below(kParts.size())]);
      }
      pattern += choices > 1 ? "|" : "";
    }
    return pattern;
  };
  int refused = 0;
  int refused_rightly = 0;
  for (int i = 0; i < 5'000; ++i) {
    std::string pattern = draw(draw, 0);
    StatusOr<Language> ours = Language::FromPattern(pattern);
    RE2 re2(pattern, engine::PatternOptions(1 << 20));
    ASSERT_TRUE(re2.ok()) << pattern;
    if (ours.ok()) {
      for (const std::string& text : texts) {
        ASSERT_EQ(RE2::FullMatch(text, re2), ours->Matches(text)) << pattern << " on " << text;
      }
      continue;
    }
    ++refused;
    // The same alternatives with every letter's cases in one class.
    std::string plain = pattern;
    // A third byte, which no text holds, keeps RE2 from taking a class for a letter.
    for (auto [from, to] :
         {std::pair<std::string_view, std::string_view>{"(?i:ab)", "[Aa\x01][Bb\x01]"},
          {"(?i:a)", "[Aa\x01]"},
          {"[Aa]", "[Aa\x01]"},
          {"(?i:b)", "[Bb\x01]"},
          {"(?i:x)", "[Xx\x01]"}}) {
      for (size_t at = 0; (at = plain.find(from, at)) != std::string::npos; at += to.size()) {
        plain.replace(at, from.size(), to);
      }
    }
    RE2 meant(plain, engine::PatternOptions(1 << 20));
    refused_rightly += std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
      return RE2::FullMatch(text, re2) != RE2::FullMatch(text, meant);
    });
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(refused_rightly, refused / 30);
}

}  // namespace
}  // namespace countersign::authz::language
