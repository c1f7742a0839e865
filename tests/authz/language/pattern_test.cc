// Each construct of the syntax: what it matches and what it does not. Every row is held against
// RE2 too, with the options that the engine gives it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/language/unicode_groups.h"
#include "tests/support/language_differential.h"

namespace countersign::authz::language {
namespace {

using namespace std::string_literals;

struct Row {
  std::string name;
  std::string pattern;
  std::vector<std::string> matches;
  std::vector<std::string> misses;
};

void CheckRows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name + ": " + row.pattern);
    StatusOr<Language> language = Language::FromPattern(row.pattern);
    ASSERT_TRUE(language.ok()) << language.status();
    for (const std::string& text : row.matches) {
      EXPECT_TRUE(language->Matches(text)) << Quoted(text);
      EXPECT_EQ(CompareText(row.pattern, text), std::nullopt);
    }
    for (const std::string& text : row.misses) {
      EXPECT_FALSE(language->Matches(text)) << Quoted(text);
      EXPECT_EQ(CompareText(row.pattern, text), std::nullopt);
    }
  }
}

TEST(PatternLanguageTest, BytesDotsAndEscapesMeanWhatRe2SaysOfBytes) {
  CheckRows({
      {"literal", "/admin", {"/admin"}, {"", "/admi", "/admin/", "/Admin", "x/admin"}},
      {"empty", "", {""}, {"a"}},
      {"dot is every byte", "a.c", {"abc", "a\nc", "a\xFF"s + "c", "a\0c"s}, {"ac", "abbc"}},
      {"dot without s", "(?-s)a.c", {"abc", "a\rc"}, {"a\nc"}},
      {"dot with s again", "(?-s)a.(?s).", {"ab\n"}, {"a\nb"}},
      {"any byte", "(?-s)\\C", {"\n", "\xFF"}, {"", "ab"}},
      {"high byte as itself", "\xE9", {"\xE9"}, {"\xC3\xA9", "e"}},
      {"hexadecimal", "\\x41\\x{42}\\x{0000043}", {"ABC"}, {"abc"}},
      {"octal", "\\101\\0\\08\\1010", {"A\0\0"s + "8A0"}, {"A08A0"}},
      {"C escapes", "\\a\\f\\n\\r\\t\\v", {"\a\f\n\r\t\v"}, {"afnrtv"}},
      {"escaped punctuation", "\\.\\/\\_\\-\\%", {"./_-%"}, {"a/_-%"}},
      {"quoted", "\\Qa.*\\E+", {"a.*", "a.**"}, {"a", "aab"}},
      {"quoted to the end", "\\Qa\\d", {"a\\d"}, {"a1"}},
      {"quoted nothing", "a\\Q\\E*", {"", "aa"}, {"b"}},
      {"braces that are no count", "a{,2}{x}{01}", {"a{,2}{x}{01}"}, {"aa", "a"}},
      {"lonely brackets", "]}{", {"]}{"}, {"", "]"}},
  });
}

TEST(PatternLanguageTest, ClassesHoldTheirBytesOnly) {
  CheckRows({
      {"range", "[a-c]", {"a", "b", "c"}, {"`", "d", "A", "-", "ab"}},
      {"negated holds line feed", "[^/]", {"a", "\n", "\xFF"}, {"/", ""}},
      {"bracket first", "[]a]+", {"]a"}, {"[", "b"}},
      {"negated bracket first", "[^]a]", {"["}, {"]", "a"}},
      {"minus first and last", "[-a-]+", {"-a-"}, {"b"}},
      {"minus after a class", "[\\d-z]+", {"1-z"}, {"a"}},
      {"escapes within", "[\\x41-\\x43\\n\\]]+", {"ABC\n]"}, {"D", "\\"}},
      {"open bracket within", "[[a]+", {"[a["}, {":"}},
      {"unfinished name", "[[:a]+", {"[:a"}, {"b"}},
      {"nothing", "[^\\x00-\\xff]", {}, {"", "a", "\xFF"}},
      {"nothing or a", "[^\\x00-\\xff]|a", {"a"}, {"", "b"}},
      {"digits", "\\d\\D", {"1a", "1\n", "1\xB2"}, {"11", "aa"}},
      {"spaces have no vertical tab", "\\s", {" ", "\t", "\n", "\f", "\r"}, {"\v", "\xA0"}},
      {"no space", "\\S", {"\v", "a", "\xA0"}, {" ", "\n"}},
      {"words", "\\w\\W", {"_-", "Z\xE9"}, {"\xE9-", "aa"}},
      {"posix", "[[:alpha:][:digit:]]+", {"aZ09"}, {"_", "\xE9"}},
      {"posix negated", "[[:^space:]]", {"a", "\xFF"}, {"\v", " "}},
      {"posix space has vertical tab", "[[:space:]]", {"\v"}, {"a"}},
      {"posix word and punct", "[[:word:]][[:punct:]]", {"_~", "a_"}, {"~~", "aa"}},
      {"posix cntrl, ascii", "[[:cntrl:]][[:ascii:]]", {"\x7F\x7F", "\0a"s}, {"  ", "\0\x80"s}},
      {"one letter group", "\\pL\\PL", {"a1", "\xE9 "}, {"aa", "1a"}},
      {"group in braces",
       "\\p{Lu}\\P{^Nd}",
       {"A1",
        "\xC9"
        "0"},
       {"a1", "Aa", "A\xB2"}},
      {"script", "\\p{Greek}", {}, {"a", "\xB5", "\xCE\xB1"}},
      {"script, cases ignored", "(?i)\\p{Greek}", {"\xB5"}, {"a"}},
      {"any", "\\p{Any}", {"a", "\xFF"}, {""}},
  });
}

TEST(PatternLanguageTest, IgnoringCaseStaysWithinOneByte) {
  CheckRows({
      {"ascii", "(?i)Get", {"GET", "get", "gEt"}, {"g\xC9t", "got"}},
      {"kelvin sign is two bytes", "(?i)k", {"k", "K"}, {"\xE2\x84\xAA"}},
      {"latin letters", "(?i)\xE9", {"\xE9", "\xC9"}, {"e", "E"}},
      {"signs between the letters", "(?i)\xD7", {"\xD7"}, {"\xF7"}},
      {"letters without a partner", "(?i)[\xDF\xFF\xB5]", {"\xDF", "\xFF", "\xB5"}, {"\x78"}},
      {"class", "(?i)[a-c]", {"A", "c"}, {"D"}},
      {"negated class", "(?i)[^a]", {"b"}, {"a", "A"}},
      {"negated name", "(?i)[[:^lower:]]", {"1"}, {"a", "A"}},
      {"until the group ends", "(a(?i)b|c)d", {"aBd", "Cd"}, {"ABd", "aBD", "CD"}},
      {"group alone", "(?i:a)b", {"Ab"}, {"AB"}},
      {"taken back", "(?i)a(?-i)b", {"Ab"}, {"AB"}},
      {"quoted", "(?i)\\Qa.\\E", {"A."}, {"ab"}},
  });
}

TEST(PatternLanguageTest, OperatorsBindAndCountAsInRe2) {
  CheckRows({
      {"alternation of literals", "foo|foobar", {"foo", "foobar"}, {"fooba", "bar"}},
      {"alternation with nothing", "a||b", {"a", "", "b"}, {"ab"}},
      {"star, plus, question mark", "ab*c+d?", {"ac", "abbccd"}, {"ab", "abd"}},
      {"lazy is the same", "a*?b+?c??", {"b", "aabbc"}, {"a", "c"}},
      {"ungreedy is the same", "(?U)a*b+", {"b", "aab"}, {"a"}},
      {"counts", "a{2}b{1,}c{0,2}", {"aab", "aabbcc"}, {"ab", "aa", "aabccc"}},
      {"no times", "a{0}b", {"b"}, {"ab"}},
      {"groups repeat", "(?:ab|c){2}", {"abab", "cab"}, {"ab", "ccc"}},
      {"capture and name", "(a)(?P<n>b)", {"ab"}, {"a"}},
      {"star of what may be empty", "(?:a*|b)*", {"", "aab", "bb"}, {"c"}},
      {"repeated again in a group", "(?:a{2})*", {"", "aaaa"}, {"aaa"}},
      {"empty group", "()*", {""}, {"a"}},
  });
}

TEST(PatternLanguageTest, AssertionsLookAtBothSides) {
  CheckRows({
      {"anchors", "^a$", {"a"}, {"a\n", "\na", ""}},
      {"the dangerous alternation", "^main|develop$", {"main", "develop"}, {"mainx", "xdevelop"}},
      {"anchor in the middle", "a^b|a$b", {}, {"ab", "a\nb"}},
      {"text ends", "\\Aa\\z", {"a"}, {"a\n"}},
      {"lines", "(?m)a$\n^b", {"a\nb"}, {"ab", "a\n\nb"}},
      {"line begin at text begin", "(?m)^a", {"a"}, {"\na"}},
      {"text ends within lines", "(?m)a\\z\n", {}, {"a\n"}},
      {"word boundary",
       "a\\b.\\bb",
       {"a-b",
        "a\xE9"
        "b"},
       {"aab", "a_b"}},
      {"no word boundary", "a\\Bb\\B-?", {}, {"ab", "ab-"}},
      {"boundaries at the ends", "\\ba\\b", {"a"}, {""}},
      {"no boundary of nothing", "\\B", {""}, {"a"}},
      {"boundary of nothing", "\\b", {}, {"", "a"}},
      {"boundary repeated", "(?:\\b|a)+", {"a", "aa"}, {"", "b"}},
      {"boundary then anything", "\\b.*", {"a", "a-"}, {"-a", ""}},
      {"star of an anchor", "^*a(?m)$*", {"a"}, {"a\n"}},
  });
}

TEST(PatternLanguageTest, EveryUnicodeGroupHoldsTheBytesThatRe2Says) {
  for (const internal::UnicodeGroupRow& row : internal::UnicodeGroupTable()) {
    for (std::string_view form : {"\\p{", "\\P{", "(?i)\\p{", "(?i)[^\\p{"}) {
      std::string pattern = Concat(form, row.name, "}", form.find('[') == form.npos ? "" : "]");
      Random random(1);
      DifferentialTally tally;
      EXPECT_EQ(ComparePattern(pattern, 1, random, tally), std::nullopt);
      EXPECT_EQ(tally.pairs, 1U) << pattern;
    }
  }
  for (std::string_view name : {"L", "Lu", "Ll", "Nd", "No", "P", "Sc", "Zs", "Cc", "Latin",
                                "Common", "Greek", "Any", "Cyrillic"}) {
    for (int byte = 0; byte < 256; ++byte) {
      for (std::string_view form : {"\\p{", "(?i)\\P{"}) {
        EXPECT_EQ(CompareText(Concat(form, name, "}"), std::string(1, static_cast<char>(byte))),
                  std::nullopt);
      }
    }
  }
}

}  // namespace
}  // namespace countersign::authz::language
