#include "audit/log/merkle_tree.h"

#include <gtest/gtest.h>

#include <map>

namespace countersign::audit {
namespace {

struct PathCase {
  const char* name;
  int level;
  uint64_t n;
  uint64_t width;
  const char* path;
};

class TileNameTest : public testing::TestWithParam<PathCase> {};

TEST_P(TileNameTest, FollowsTlogTiles) {
  EXPECT_EQ(TileName(GetParam().level, GetParam().n, GetParam().width), GetParam().path);
}

INSTANTIATE_TEST_SUITE_P(
    Table, TileNameTest,
    testing::Values(PathCase{"first", 0, 0, 256, "tile/0/000"},
                    PathCase{"three_groups", 0, 1234067, 256, "tile/0/x001/x234/067"},
                    PathCase{"partial_level_0_of_70000", 0, 273, 112, "tile/0/273.p/112"},
                    PathCase{"partial_level_1_of_70000", 1, 1, 17, "tile/1/001.p/17"},
                    PathCase{"partial_level_2_of_70000", 2, 0, 1, "tile/2/000.p/1"},
                    PathCase{"thousand", 0, 1000, 256, "tile/0/x001/000"},
                    PathCase{"entries", kEntriesLevel, 5, 256, "tile/entries/005"},
                    PathCase{"entries_partial", kEntriesLevel, 1234067, 3,
                             "tile/entries/x001/x234/067.p/3"}),
    [](const auto& row) { return row.param.name; });

std::string Entry(uint64_t n) { return Concat("entry ", n); }

// Naive is RFC 6962 section 2.1 word for word.
TreeHash Naive(uint64_t begin, uint64_t size) {
  if (size == 0) {
    return EmptyTreeHash();
  }
  if (size == 1) {
    return LeafHash(Entry(begin));
  }
  uint64_t k = 1;
  while (k * 2 < size) {
    k *= 2;
  }
  return NodeHash(Naive(begin, k), Naive(begin + k, size - k));
}

// Kept holds a growing tree with all its tile hashes.
struct Kept {
  std::map<int, std::vector<TreeHash>> hashes;
  MerkleTree tree;

  void Add(uint64_t n) {
    tree.Append(LeafHash(Entry(n)),
                [this](int level, const TreeHash& hash) { hashes[level].push_back(hash); });
  }
  HashSource Source() {
    return [this](int level, uint64_t index) -> StatusOr<TreeHash> {
      return index < hashes[level].size() ? StatusOr<TreeHash>(hashes[level][index])
                                          : NotFound("no such hash");
    };
  }
};

TEST(MerkleTreeTest, MatchesThePublishedHashes) {
  // RFC 6962: the hash of an empty list is the hash of an empty string.
  EXPECT_EQ(HexLower(EmptyTreeHash()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexLower(LeafHash("")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

TEST(MerkleTreeTest, RootsOfAllSizesAreThoseOfTheDefinition) {
  Kept kept;
  EXPECT_EQ(kept.tree.Root(), EmptyTreeHash());
  for (uint64_t n = 0; n < 300; ++n) {
    kept.Add(n);
    ASSERT_EQ(kept.tree.Root(), Naive(0, n + 1)) << n + 1;
  }
}

TEST(MerkleTreeTest, ATreeIsFoundAgainFromItsTiles) {
  Kept kept;
  for (uint64_t n = 0; n < 70'000; ++n) {
    kept.Add(n);
  }
  EXPECT_EQ(kept.hashes[0].size(), 70'000U);
  EXPECT_EQ(kept.hashes[1].size(), 273U);
  EXPECT_EQ(kept.hashes[2].size(), 1U);
  StatusOr<MerkleTree> again = TreeAt(70'000, kept.Source());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->Root(), kept.tree.Root());
  EXPECT_EQ(TreeAt(777, kept.Source())->Root(), Naive(0, 777));
  EXPECT_FALSE(TreeAt(70'001, kept.Source()).ok());
}

TEST(MerkleTreeTest, EveryInclusionProofHoldsAndNoOtherRecordFits) {
  Kept kept;
  for (uint64_t n = 0; n < 300; ++n) {
    kept.Add(n);
  }
  for (uint64_t size : {1U, 2U, 3U, 7U, 8U, 255U, 256U, 257U, 300U}) {
    TreeHash root = Naive(0, size);
    for (uint64_t index = 0; index < size; index += 1 + index / 5) {
      auto proof = InclusionProof({index, size}, kept.Source());
      ASSERT_TRUE(proof.ok());
      EXPECT_EQ(*RootFromInclusion({index, size}, LeafHash(Entry(index)), *proof), root);
      EXPECT_NE(*RootFromInclusion({index, size}, LeafHash("another"), *proof), root);
      std::vector<TreeHash> longer = *proof;
      longer.push_back(root);
      EXPECT_FALSE(RootFromInclusion({index, size}, LeafHash(Entry(index)), longer).ok());
      if (!proof->empty()) {
        std::vector<TreeHash> shorter(proof->begin(), proof->end() - 1);
        EXPECT_FALSE(RootFromInclusion({index, size}, LeafHash(Entry(index)), shorter).ok());
      }
    }
  }
  EXPECT_FALSE(InclusionProof({8, 8}, kept.Source()).ok());
}

}  // namespace
}  // namespace countersign::audit
