// What is refused, and that the message names the construct and its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/language_differential.h"

namespace countersign::authz::language {
namespace {

using ::testing::HasSubstr;

struct Refusal {
  std::string pattern;
  std::string place;
  std::string words;
};

TEST(PatternRefusalsTest, NameTheConstructAndItsPlace) {
  const Refusal kRows[] = {
      {"a(?=b)", "byte 2", "look-ahead"},
      {"(?!b)", "byte 1", "look-ahead"},
      {"a(?<=b)c", "byte 2", "look-behind"},
      {"(?<n>a)", "byte 1", "(?P<name>"},
      {"(?>a)", "byte 1", "atomic"},
      {"a(?#b)", "byte 2", "comments"},
      {"(?x)a", "byte 1", "(?x"},
      {"(?i-)a", "byte 1", "not supported"},
      {"(?--i)", "byte 1", "not supported"},
      {"(?i", "byte 1", "not supported"},
      {"(?P<>a)", "byte 1", "name"},
      {"(?P<a-b>a)", "byte 1", "name"},
      {"(?P<a", "byte 1", "name"},
      {"(a)\\1", "byte 4", "back references"},
      {"a\\Z", "byte 2", "use \\z"},
      {"a\\E", "byte 2", "no \\Q"},
      {"\\K", "byte 1", "whole value"},
      {"\\8", "byte 1", "\\\\8"},
      {"\\\xE9", "byte 1", "escape"},
      {"\\x4", "byte 1", "escape"},
      {"\\x{}", "byte 1", "escape"},
      {"\\x{41", "byte 1", "escape"},
      {"\\x{100}", "byte 1", "more than one byte"},
      {"\\400", "byte 1", "more than one byte"},
      {"ab\\", "byte 3", "backslash ends"},
      {"[a", "byte 1", "no closing ]"},
      {"[]", "byte 1", "no closing ]"},
      {"x[z-a]", "byte 3", "ends before it begins"},
      {"[a-\\d]", "byte 4", "escape"},
      {"[[:foo:]]", "byte 2", "unknown class"},
      {"\\p{Foo}", "byte 1", "unknown Unicode group"},
      {"\\p{Lu", "byte 1", "no closing }"},
      {"\\p", "byte 1", "unknown Unicode group"},
      {"(a", "byte 1", "no closing )"},
      {"a)", "byte 2", "closes nothing"},
      {"a**", "byte 3", "follows a repetition"},
      {"a++", "byte 3", "follows a repetition"},
      {"a{2}{3}", "byte 5", "follows a repetition"},
      {"*", "byte 1", "nothing before"},
      {"a|{2}", "byte 3", "nothing before"},
      {"(?i)*", "byte 5", "nothing before"},
      {"a{1001}", "byte 2", "beyond 1000"},
      {"a{0,1001}", "byte 2", "beyond 1000"},
      {"a{2,1}", "byte 2", "ends before it begins"},
      {"(a{100}){11}", "byte 9", "more than 1000"},
      {"(a{1000}){1000}", "byte 10", "more than 1000"},
      {"(?:(?:a{10}){10}|b){11}", "byte 20", "more than 1000"},
  };
  for (const Refusal& row : kRows) {
    SCOPED_TRACE(row.pattern);
    StatusOr<Language> language = Language::FromPattern(row.pattern);
    ASSERT_EQ(language.status().code(), StatusCode::kInvalidArgument) << language.status();
    std::string message(Message(language.status()));
    EXPECT_THAT(message, HasSubstr(row.place + " of"));
    EXPECT_THAT(message, HasSubstr(row.words));
    EXPECT_EQ(CompareText(row.pattern, ""), std::nullopt) << "RE2 accepts it";
  }
}

TEST(PatternRefusalsTest, AcceptJustBelowTheLimits) {
  EXPECT_TRUE(Language::FromPattern("(a{100}){10}").ok());
  EXPECT_TRUE(Language::FromPattern("(a{0}){1000}").ok());
  EXPECT_TRUE(Language::FromPattern("(?:a{2,}){500}").ok());
  LanguageLimits limits;
  std::string deep(limits.pattern_depth_max, '(');
  EXPECT_TRUE(Language::FromPattern(deep + "a" + std::string(deep.size(), ')')).ok());
  EXPECT_TRUE(Language::FromPattern(std::string(limits.pattern_bytes_max, 'a')).ok());
}

TEST(PatternRefusalsTest, TooLargeIsSaidWithLimitAndCulprit) {
  LanguageLimits limits;
  std::string deep(limits.pattern_depth_max + 1, '(');
  const Refusal kRows[] = {
      {deep + "a" + std::string(deep.size(), ')'), Concat("byte ", deep.size() + 1),
       "pattern_depth_max"},
      {std::string(limits.pattern_bytes_max + 1, 'a'), "4097 bytes", "pattern_bytes_max"},
      {"(?:a|b)*a(?:a|b){20}", "pattern \"(?:a|b)*a", "dfa_states_max"},
      {".*x.{1000}", "pattern \".*x", "dfa_states_max"},
      {"(?:(?:a?b?c?d?e?f?g?h?i?j?){500}|x){2}", "pattern", "_max"},
  };
  for (const Refusal& row : kRows) {
    SCOPED_TRACE(Quoted(row.pattern));
    StatusOr<Language> language = Language::FromPattern(row.pattern);
    ASSERT_TRUE(IsTooLarge(language.status())) << language.status();
    EXPECT_THAT(std::string(Message(language.status())), HasSubstr(row.place));
    EXPECT_THAT(std::string(Message(language.status())), HasSubstr(row.words));
  }
}

}  // namespace
}  // namespace countersign::authz::language
