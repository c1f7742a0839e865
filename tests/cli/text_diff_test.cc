#include "cli/text_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>
#include <vector>

#include "base/status.h"

namespace countersign::cli {
namespace {

TEST(TextDiffTest, EqualTextsHaveNoDifference) {
  EXPECT_EQ(UnifiedDiff("", ""), "");
  EXPECT_EQ(UnifiedDiff("a\nb\n", "a\nb\n"), "");
}

TEST(TextDiffTest, ChangedLineIsShownWithItsContext) {
  EXPECT_EQ(UnifiedDiff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "@@ -2 +2 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
}

TEST(TextDiffTest, DistantChangesAreHunksOfTheirOwn) {
  std::string former;
  for (int i = 1; i <= 30; ++i) {
    former += Concat(i, "\n");
  }
  std::string next = "0\n" + former + "31\n";
  EXPECT_EQ(UnifiedDiff(former, next),
            "@@ -1 +1 @@\n+0\n 1\n 2\n 3\n@@ -28 +29 @@\n 28\n 29\n 30\n+31\n");
}

TEST(TextDiffTest, NewAndRemovedTextsAreAllPlusAndAllMinus) {
  EXPECT_EQ(UnifiedDiff("", "a\nb\n"), "@@ -1 +1 @@\n+a\n+b\n");
  EXPECT_EQ(UnifiedDiff("a\nb\n", ""), "@@ -1 +1 @@\n-a\n-b\n");
}

// Lines with '-' or ' ' are the former text, those with '+' or ' ' the next one, wherever shown.
TEST(TextDiffTest, DifferenceOfSmallTextsRebuildsBoth) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    auto text = [&] {
      std::string out;
      for (size_t i = random() % 7; i > 0; --i) {
        out += Concat(random() % 3, "\n");
      }
      return out;
    };
    std::string former = text();
    std::string next = text();
    std::string rebuilt_former;
    std::string rebuilt_next;
    std::istringstream lines(UnifiedDiff(former, next));
    int hunks = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("@@")) {
        ++hunks;
        continue;
      }
      rebuilt_former += line[0] != '+' ? line.substr(1) + "\n" : "";
      rebuilt_next += line[0] != '-' ? line.substr(1) + "\n" : "";
    }
    if (former == next) {
      EXPECT_EQ(hunks, 0);
      continue;
    }
    // Six lines at most and three of context: only a line at an end can be left out.
    EXPECT_NE(former.find(rebuilt_former), std::string::npos) << former << "|" << next;
    EXPECT_NE(next.find(rebuilt_next), std::string::npos) << former << "|" << next;
  }
}

}  // namespace
}  // namespace countersign::cli
