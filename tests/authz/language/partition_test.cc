// Classes of values, and the trust domains of IDs.
#include "authz/language/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/language/matcher_language.h"
#include "authz/language/search.h"
#include "authz/language/trust_domain_language.h"

namespace countersign::authz::language {
namespace {

using ::testing::ElementsAre;

Language Of(std::string_view pattern) { return Language::FromPattern(pattern).value(); }

Partition Cut(const CanonicalValues& values, const std::vector<Language>& languages) {
  std::vector<const Language*> pointers;
  for (const Language& language : languages) {
    pointers.push_back(&language);
  }
  auto partition = Partition::Create(values, pointers);
  EXPECT_TRUE(partition.ok()) << partition.status();
  return *std::move(partition);
}

TEST(PartitionTest, EachReachableSetOfLanguagesIsOneClassWithAShortestValue) {
  Partition partition =
      Cut({Of("/[a-z]*"), kAnyBytes}, {Of("/a.*"), Of(".*b"), Of("/zz"), Of("never")});
  std::vector<std::pair<std::vector<uint32_t>, std::string>> classes;
  for (const Partition::Class& one : partition.classes()) {
    classes.emplace_back(one.inside, one.shortest);
  }
  using Inside = std::vector<uint32_t>;
  EXPECT_THAT(classes,
              ::testing::UnorderedElementsAre(
                  std::pair(Inside{}, "/"), std::pair(Inside{0}, "/a"), std::pair(Inside{1}, "/b"),
                  std::pair(Inside{0, 1}, "/ab"), std::pair(Inside{2}, "/zz")));
  EXPECT_EQ(partition.ClassOf("/azzb"), partition.ClassOf("/ab"));
  EXPECT_EQ(partition.ClassOf("azzb"), std::nullopt);
}

TEST(PartitionTest, LanguageOfClassesIsExactlyWhatTheLanguagesSay) {
  CanonicalValues values{Of("/[a-z/]*"), kAnyBytes};
  std::vector<Language> languages = {Of("/a.*"), Of(".*b")};
  Partition partition = Cut(values, languages);
  std::vector<uint32_t> in_first;
  for (uint32_t i = 0; i < partition.classes().size(); ++i) {
    const std::vector<uint32_t>& inside = partition.classes()[i].inside;
    if (std::ranges::find(inside, 0U) != inside.end()) {
      in_first.push_back(i);
    }
  }
  Language expected = Intersection(values.language, languages[0]).value();
  EXPECT_EQ(partition.LanguageOf(in_first), expected);
  EXPECT_EQ(partition.LanguageOf(in_first), expected);  // Again: nothing is left over.
  EXPECT_TRUE(partition.LanguageOf({}).IsNothing());
}

TEST(PartitionTest, AClassWhoseValuesAreAllTooLongIsLeftOut) {
  Partition partition = Cut({Of("a*"), 3}, {Of("aaa"), Of("aaaa")});
  ASSERT_EQ(partition.classes().size(), 2U);
  EXPECT_EQ(partition.classes()[1].shortest, "aaa");
}

TEST(PartitionTest, PatternsThatMultiplyEndAtALimit) {
  std::vector<Language> languages;
  std::vector<const Language*> pointers;
  for (std::string_view letter : {"a", "b", "c", "d", "e", "f"}) {
    languages.push_back(Of(Concat(".*", letter, ".{8}")));
  }
  for (const Language& language : languages) {
    pointers.push_back(&language);
  }
  auto partition = Partition::Create({Language::Everything(), kAnyBytes}, pointers);
  ASSERT_FALSE(partition.ok());
  EXPECT_TRUE(IsTooLarge(partition.status()));
}

TEST(BeginningTest, IsTheSameAutomatonAsOfThePattern) {
  for (std::string_view text : {"", "a", "/", "aa", "/a/", "ab/ba", "\xff"}) {
    std::string quoted;
    for (char c : text) {
      static constexpr std::string_view kHex = "0123456789abcdef";
      auto byte = static_cast<uint8_t>(c);
      quoted += Concat("\\x", kHex.substr(byte >> 4, 1), kHex.substr(byte & 15, 1));
    }
    using Rest = Language::Rest;
    EXPECT_EQ(Language::Beginning(text, Rest::kNothing), Of(quoted));
    EXPECT_EQ(Language::Beginning(text, Rest::kAnything), Of(quoted + ".*"));
    EXPECT_EQ(Language::Beginning(text, Rest::kNothingOrSlash), Of(quoted + "(?:/.*)?"));
  }
}

TEST(TrustDomainTest, IdsAndDomainsAreTwoSidesOfOneCoordinate) {
  Language domains = Of("a\\.b|c.*");
  Language ids = IdsIn(domains);
  for (std::string_view id : {"spiffe://a.b", "spiffe://a.b/x/y", "spiffe://c", "spiffe://cd/x"}) {
    EXPECT_TRUE(ids.Matches(id)) << id;
  }
  // A slash ends the domain, so `c.*` does not reach into the path.
  for (std::string_view id : {"spiffe://a.bc", "spiffe://a", "a.b", "spiffe://b/c", "spiffe:///"}) {
    EXPECT_FALSE(ids.Matches(id)) << id;
  }
  EXPECT_EQ(TrustDomainsOf(Of("spiffe://a(?:/x)?|spiffe://b/y|spiffe://|http://z")), Of("a|b"));
  EXPECT_TRUE(TrustDomainsOf(Language::Nothing()).IsNothing());
}

TEST(TrustDomainTest, IdsUncountedAreAllIdsAndMore) {
  Language exact = CanonicalValuesOf(Field::kId)->language;
  Language wide = IdsUncounted()->language;
  EXPECT_EQ(FindOutside({.inner = exact, .outer = wide}).value(), std::nullopt);
  std::optional<std::string> longer = FindOutside({.inner = wide, .outer = exact}).value();
  ASSERT_TRUE(longer.has_value());
  EXPECT_EQ(longer->size(), std::string("spiffe://").size() + 256);
}

}  // namespace
}  // namespace countersign::authz::language
