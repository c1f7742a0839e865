#include "proxy_agent/block_chain.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace countersign::proxy {
namespace {

std::string Drain(BlockChain& chain) {
  std::string out;
  while (!chain.empty()) {
    out.append(chain.Front());
    chain.Consume(chain.Front().size());
  }
  return out;
}

TEST(BlockChainTest, GivesBackWhatWasAppendedAcrossBlocks) {
  BlockPool pool;
  BlockChain chain(pool);
  std::string all;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece(static_cast<size_t>(i % 97), static_cast<char>('a' + i % 26));
    chain.Append(piece);
    all += piece;
  }
  EXPECT_EQ(chain.size(), all.size());
  EXPECT_EQ(Drain(chain), all);
}

TEST(BlockChainTest, VectorsCoverTheChainInOrder) {
  BlockPool pool;
  BlockChain chain(pool);
  const std::string bytes(3 * Block::kBytes + 5, 'x');
  chain.Append(bytes);
  std::array<iovec, 8> vectors;
  const size_t used = chain.Vectors(vectors);
  ASSERT_EQ(used, 4u);
  size_t sum = 0;
  for (size_t i = 0; i < used; ++i) {
    sum += vectors[i].iov_len;
  }
  EXPECT_EQ(sum, bytes.size());
}

TEST(BlockChainTest, ConsumingPartOfABlockKeepsTheRest) {
  BlockPool pool;
  BlockChain chain(pool);
  chain.Append("hello world");
  chain.Consume(6);
  EXPECT_EQ(chain.Front(), "world");
  chain.Append("!");
  EXPECT_EQ(Drain(chain), "world!");
}

TEST(BlockChainTest, AnEmptyChainHoldsNoBlock) {
  BlockPool pool;
  BlockChain chain(pool);
  EXPECT_TRUE(chain.Front().empty());
  chain.Append("");
  EXPECT_TRUE(chain.empty());
  chain.Append("x");
  chain.Clear();
  EXPECT_TRUE(chain.Front().empty());
}

}  // namespace
}  // namespace countersign::proxy
