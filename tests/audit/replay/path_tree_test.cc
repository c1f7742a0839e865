#include "audit/replay/path_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "audit/replay/observed_service.h"

namespace countersign::audit {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

std::vector<std::string> Learned(const std::vector<std::string>& paths) {
  PathTree tree{PathTreeLimits()};
  for (const std::string& path : paths) {
    EXPECT_TRUE(tree.Add(path, 0).ok());
  }
  std::vector<std::string> words;
  for (const ObservedPath& path : tree.Paths()) {
    words.push_back(WordOf(path).text);
  }
  std::ranges::sort(words);
  return words;
}

std::vector<std::string> Many(std::string_view before, std::string_view after, size_t count) {
  std::vector<std::string> paths;
  for (size_t i = 0; i < count; ++i) {
    paths.push_back(Concat(before, std::string(1, static_cast<char>('a' + i)), after));
  }
  return paths;
}

TEST(PathTreeTest, ThreeIdentifiersAtOnePlaceAreATemplateAndTwoAreNot) {
  EXPECT_THAT(Learned({"/orders/7", "/orders/8"}), ElementsAre("/orders/7", "/orders/8"));
  EXPECT_THAT(Learned({"/orders/7", "/orders/8", "/orders/9"}), ElementsAre("/orders/{id}"));
}

TEST(PathTreeTest, WordsBesideIdentifiersStayWords) {
  EXPECT_THAT(Learned({"/orders/7", "/orders/export", "/orders/8", "/orders/9", "/orders"}),
              ElementsAre("/orders", "/orders/export", "/orders/{id}"));
}

TEST(PathTreeTest, PlacesAfterDifferentSegmentsAreDifferentPlaces) {
  EXPECT_THAT(Learned({"/a/1", "/b/2", "/c/3"}), ElementsAre("/a/1", "/b/2", "/c/3"));
}

TEST(PathTreeTest, MoreThanTwentyWordsAtOnePlaceAreIdentifiers) {
  EXPECT_EQ(Learned(Many("/users/", "", 20)).size(), 20U);
  EXPECT_THAT(Learned(Many("/users/", "", 21)), ElementsAre("/users/{id}"));
  EXPECT_THAT(Learned(Many("/users/", "/cart", 21)), ElementsAre("/users/{id}/cart"));
}

TEST(PathTreeTest, WhatStandsBelowIdentifiersIsLearnedTogether) {
  EXPECT_THAT(Learned({"/o/1/items/1", "/o/2/items/2", "/o/3/items/3", "/o/3/note"}),
              ElementsAre("/o/{id}/items/{id2}", "/o/{id}/note"))
      << "three identifiers below one place, once the places above are one";
}

TEST(PathTreeTest, AnEmptySegmentIsNoIdentifier) {
  EXPECT_THAT(Learned({"/", "/1", "/2", "/3"}), ElementsAre("/", "/{id}"));
  EXPECT_THAT(Learned({"/o/", "/o/1", "/o/2", "/o/3", "/o/1/", "/o/2/", "/o/3/"}),
              ElementsAre("/o/", "/o/{id}", "/o/{id}/"));
}

TEST(PathTreeTest, WhatIsLearnedDoesNotHangOnTheOrder) {
  std::vector<std::string> paths = Many("/u/", "/x", 21);
  for (const char* path : {"/u/1/x/1", "/u/2/y", "/u/3/x/2", "/u/a/x/3", "/o/7", "/o/8", "/o/9/a",
                           "/o/export", "/u", "/"}) {
    paths.emplace_back(path);
  }
  const std::vector<std::string> expected = Learned(paths);
  EXPECT_THAT(expected, UnorderedElementsAre("/", "/o/export", "/o/{id}", "/o/{id}/a", "/u",
                                             "/u/{id}/x", "/u/{id}/x/{id2}", "/u/{id}/y"));
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    std::ranges::shuffle(paths, random);
    ASSERT_EQ(Learned(paths), expected);
  }
}

TEST(PathTreeTest, EveryPathIsCoveredByWhatWasLearnedFromIt) {
  std::mt19937 random(11);
  const std::vector<std::string> kSegments = {"a", "b", "1", "22", "333", "4444", "deadbeef01", ""};
  for (int round = 0; round < 200; ++round) {
    std::vector<ObservedPath> added;
    PathTree tree{{.identifiers_min = 3, .words_max = 1}};
    for (uint32_t call = 0; call < 30; ++call) {
      std::string path;
      ObservedPath& literal = added.emplace_back();
      for (size_t depth = 1 + random() % 4; depth > 0; --depth) {
        std::string segment = kSegments[random() % kSegments.size()];
        segment = segment.empty() && depth > 1 ? "a" : segment;
        path += "/" + segment;
        literal.segments.emplace_back(segment);
      }
      ASSERT_TRUE(tree.Add(path, call).ok());
    }
    std::vector<ObservedPath> learned = tree.Paths();
    for (uint32_t call = 0; call < added.size(); ++call) {
      EXPECT_TRUE(std::ranges::any_of(learned, [&](const ObservedPath& path) {
        return Covers(path, added[call]) && path.calls.contains(call);
      }));
    }
  }
}

TEST(PathTreeTest, CallsGoWithTheirPaths) {
  PathTree tree{PathTreeLimits()};
  for (uint32_t call = 0; call < 3; ++call) {
    ASSERT_TRUE(tree.Add(Concat("/o/", call), call).ok());
  }
  ASSERT_TRUE(tree.Add("/o/export", 9).ok());
  std::vector<ObservedPath> paths = tree.Paths();
  ASSERT_EQ(paths.size(), 2U);
  EXPECT_TRUE(paths[0].is_template());
  EXPECT_THAT(paths[0].calls, ElementsAre(0, 1, 2));
  EXPECT_THAT(paths[1].calls, ElementsAre(9));
}

TEST(PathTreeTest, CoversCountsSegmentsAndWantsSomethingInEach) {
  auto path = [](std::vector<std::optional<std::string>> segments) {
    return ObservedPath{std::move(segments), {}};
  };
  ObservedPath wide = path({"o", std::nullopt});
  EXPECT_TRUE(Covers(wide, path({"o", "7"})));
  EXPECT_TRUE(Covers(wide, wide));
  EXPECT_FALSE(Covers(wide, path({"o", ""})));
  EXPECT_FALSE(Covers(wide, path({"o"})));
  EXPECT_FALSE(Covers(wide, path({"o", "7", "x"})));
  EXPECT_FALSE(Covers(wide, path({"p", "7"})));
  EXPECT_FALSE(Covers(path({"o", "7"}), wide));
}

TEST(PathTreeTest, EachLimitIsAnErrorThatNamesIt) {
  PathTree deep{{.segments_max = 3}};
  EXPECT_TRUE(deep.Add("/a/b/c", 0).ok());
  EXPECT_EQ(deep.Add("/a/b/c/d", 0).code(), StatusCode::kResourceExhausted);
  PathTree wide{{.places_max = 3}};
  EXPECT_TRUE(wide.Add("/a/b/c", 0).ok());
  EXPECT_EQ(wide.Add("/a/b/d", 0).code(), StatusCode::kResourceExhausted);
  PathTree busy{{.calls_max = 1}};
  EXPECT_TRUE(busy.Add("/a", 0).ok());
  EXPECT_TRUE(busy.Add("/a", 0).ok());
  EXPECT_EQ(busy.Add("/a", 1).code(), StatusCode::kResourceExhausted);
}

TEST(PathTreeTest, BytesThatMeanSomethingElseInPolicyFilesAreSpelledOut) {
  auto word = [](std::vector<std::optional<std::string>> segments) {
    return WordOf({std::move(segments), {}});
  };
  EXPECT_EQ(word({"a", "b"}), (PathWord{PathWord::Form::kBare, "/a/b"}));
  EXPECT_EQ(word({"a", "**"}), (PathWord{PathWord::Form::kExact, "/a/**"}));
  EXPECT_EQ(word({"{a}"}), (PathWord{PathWord::Form::kExact, "/{a}"}));
  EXPECT_EQ(word({"a*", std::nullopt}), (PathWord{PathWord::Form::kRe2, "/a\\*/[^/]+"}));
  EXPECT_EQ(word({"\xe9"}), (PathWord{PathWord::Form::kRe2, "/\\xe9"}));
}

}  // namespace
}  // namespace countersign::audit
