// SimplePattern against RE2: the same language for every pattern that it takes.
#include "authz/engine/simple_pattern.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "authz/engine/regex.h"
#include "authz/engine/simple_program.h"

namespace countersign::authz::engine {
namespace {

bool Re2Matches(const RE2& pattern, std::string_view value) {
  return RE2::FullMatch(re2::StringPiece(value.data(), value.size()), pattern);
}

TEST(SimplePatternTest, TakesWhatPoliciesUse) {
  for (std::string_view pattern :
       {"", "/orders", "/orders/[0-9]+", "/orders/\\d+(/items|/state)?", "/api/v[12]/[^/]+/x",
        "spiffe://shop\\.example/ns/(prod|stage)/sa/mobile-[a-z]+", "/admin(/.*)?",
        "[a-z0-9-]{1,32}", "(?:GET|HEAD)", "/a/.*", "\\w+", "[^\\d]*", "a{2}", "a{2,}b"}) {
    EXPECT_TRUE(SimplePattern::Parse(pattern).has_value()) << pattern;
  }
}

TEST(SimplePatternTest, LeavesToRe2WhereThereIsMoreThanOneWayOn) {
  for (std::string_view pattern :
       {".*/admin", "[a-z]+x", "(a|ab)c", "(a|b)*", "(a)+",     "a*?",         "(?i)a",
        "^a",       "a$",      "a|b",     "(x|)",   "(/.*)?/y", "[[:alpha:]]", "\\bword",
        "\\x41",    "\\Qa\\E", "a{,3}",   "[]a]",   "a?a",      "(ab)?a",      "(?P<n>a)"}) {
    EXPECT_FALSE(SimplePattern::Parse(pattern).has_value()) << pattern;
  }
}

TEST(SimplePatternTest, KnowsEveryPrefix) {
  auto prefixes = [](std::string_view pattern) {
    return SimplePattern::Parse(pattern)->Prefixes();
  };
  using List = std::vector<std::string>;
  EXPECT_EQ(prefixes("/a/[0-9]+"), List{"/a/"});
  EXPECT_EQ(prefixes("/(a|b)/c[d]"), (List{"/a/c", "/b/c"}));
  EXPECT_EQ(prefixes("[a-z]+"), List{""});
  EXPECT_EQ(prefixes("/a(/b)?c"), List{"/a"});
  EXPECT_EQ(prefixes("ab+"), List{"a"});
}

// A random pattern of pieces over a small alphabet, so that texts hit and nearly hit.
class Drawer {
 public:
  explicit Drawer(uint64_t seed) : random_(seed) {}

  std::string Pattern(int depth = 0) {
    std::string pattern;
    for (size_t i = 1 + Below(4); i > 0; --i) {
      pattern += Piece(depth);
    }
    return pattern;
  }

  std::string Text() {
    static constexpr std::string_view kBytes = "aabbc/-.0\n\xff";
    std::string text;
    for (size_t i = Below(9); i > 0; --i) {
      text.push_back(kBytes[Below(kBytes.size())]);
    }
    return text;
  }

 private:
  size_t Below(size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random_);
  }

  std::string Piece(int depth) {
    static const char* const kAtoms[] = {"a",   "b",       "c",      "/",       "-",     "\\.",
                                         "0",   ".",       "[ab]",   "[^/]",    "[a-c]", "\\d",
                                         "\\w", "\\S",     "[^a-b]", "[-a]",    "[a-]",  "[\\d/]",
                                         "\\-", "[0\\-a]", "\xff",   "[^\xff]", "[--0]"};
    static const char* const kCounts[] = {"",      "",      "",     "+",   "*",  "?", "{2}",
                                          "{1,2}", "{0,1}", "{2,}", "{0}", "*?", "+?"};
    if (depth < 2 && Below(4) == 0) {
      static const char* const kGroups[] = {"", "", "?", "*"};
      std::string group = Below(2) == 0 ? "(" : "(?:";
      group += Pattern(depth + 1);
      for (size_t i = Below(3); i > 0; --i) {
        group += "|" + Pattern(depth + 1);
      }
      return group + ")" + kGroups[Below(4)];
    }
    return std::string(kAtoms[Below(std::size(kAtoms))]) + kCounts[Below(std::size(kCounts))];
  }

  std::mt19937_64 random_;
};

TEST(SimplePatternTest, AgreesWithRe2OnDrawnPatternsAndTexts) {
  uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  Drawer drawer(seed);
  int taken = 0;
  int matched = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string pattern = drawer.Pattern();
    std::optional<SimplePattern> simple = SimplePattern::Parse(pattern);
    if (!simple) {
      continue;
    }
    RE2 re2(pattern, PatternOptions(1 << 20));
    if (!re2.ok()) {
      continue;
    }
    SimplePrograms programs;
    std::optional<uint32_t> at = programs.Add(*simple);
    ASSERT_TRUE(at.has_value()) << pattern;
    ++taken;
    std::vector<std::string> prefixes = simple->Prefixes();
    for (int t = 0; t < 40; ++t) {
      std::string text = drawer.Text();
      bool matches = Re2Matches(re2, text);
      ASSERT_EQ(programs.Matches(*at, text), matches)
          << Quoted(pattern) << " on " << Quoted(text) << " seed " << seed;
      matched += matches;
      if (matches) {
        EXPECT_TRUE(
            std::any_of(prefixes.begin(), prefixes.end(),
                        [&](const std::string& prefix) { return text.starts_with(prefix); }))
            << Quoted(pattern) << " on " << Quoted(text);
      }
    }
  }
  EXPECT_GT(taken, 2000);
  EXPECT_GT(matched, 2000);
}

TEST(SimpleProgramsTest, HoldWhatIsLongAndRefuseWhatDoesNotFit) {
  SimplePrograms programs;
  std::string literal(1000, 'x');
  std::optional<uint32_t> at = programs.Add(*SimplePattern::Parse("a" + literal + "[0-9]{300}"));
  ASSERT_TRUE(at.has_value());
  EXPECT_TRUE(programs.Matches(*at, "a" + literal + std::string(300, '7')));
  EXPECT_FALSE(programs.Matches(*at, "a" + literal + std::string(299, '7')));
  EXPECT_FALSE(programs.Matches(*at, "a" + literal.substr(1) + std::string(300, '7')));
  std::string choice = "(" + std::string(40'000, 'a') + "|" + std::string(40'000, 'b') + ")";
  EXPECT_FALSE(programs.Add(*SimplePattern::Parse(choice)).has_value());
  EXPECT_TRUE(programs.Matches(*programs.Add(*SimplePattern::Parse("(ab|cd)?e")), "cde"));
}

TEST(RequiredPrefixTest, EveryMatchBeginsWithIt) {
  uint64_t seed = std::random_device()();
  Drawer drawer(seed);
  int with_prefix = 0;
  for (int i = 0; i < 4000; ++i) {
    RE2 re2(drawer.Pattern(), PatternOptions(1 << 20));
    if (!re2.ok()) {
      continue;
    }
    std::string prefix = RequiredPrefix(re2);
    with_prefix += !prefix.empty();
    for (int t = 0; t < 40; ++t) {
      std::string text = drawer.Text();
      if (Re2Matches(re2, text)) {
        ASSERT_TRUE(text.starts_with(prefix)) << re2.pattern() << " seed " << seed;
      }
    }
  }
  EXPECT_GT(with_prefix, 500);
}

}  // namespace
}  // namespace countersign::authz::engine
