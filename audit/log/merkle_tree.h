// The Merkle tree of RFC 6962 section 2.1 and its places on disk: C2SP tlog-tiles. No I/O here.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/crypto/hash.h"
#include "base/status.h"

namespace countersign::audit {

using TreeHash = Sha256Digest;

// RFC 6962 section 2.1: a leaf is SHA-256(0x00 || entry), a node SHA-256(0x01 || left || right).
inline constexpr char kLeafPrefix = '\0';
TreeHash LeafHash(std::string_view entry);
TreeHash NodeHash(const TreeHash& left, const TreeHash& right);
TreeHash EmptyTreeHash();

inline constexpr uint64_t kTileWidth = 256;
inline constexpr int kEntriesLevel = -1;  // Entry bundles, in the place of a tile level.
inline constexpr int kLevelsMax = 8;      // Tiles of 256^8 entries: more than a size can say.

// TileStem is the path of full tile `n` of `level` below the log's folder: "tile/0/x001/x234/067".
std::string TileStem(int level, uint64_t n);
// TileName is TileStem for a full tile (width 256) and "STEM.p/W" for a partial one.
std::string TileName(int level, uint64_t n, uint64_t width);

// MerkleTree is the right edge of a tree: enough to append and to know the root. A value.
class MerkleTree {
 public:
  MerkleTree() = default;
  // The roots of the complete subtrees of a tree of `size`, largest first.
  MerkleTree(uint64_t size, std::vector<TreeHash> peaks) : size_(size), peaks_(std::move(peaks)) {}

  // Append adds a leaf and calls `on_tile_hash(level, hash)` for each hash that a tile stores, in
  // order.
  template <class OnTileHash>
  void Append(const TreeHash& leaf, OnTileHash&& on_tile_hash) {
    TreeHash hash = leaf;
    on_tile_hash(0, hash);
    int height = 0;
    for (uint64_t rest = size_; (rest & 1) != 0; rest >>= 1) {
      hash = NodeHash(peaks_.back(), hash);
      peaks_.pop_back();
      if (++height % 8 == 0) {
        on_tile_hash(height / 8, hash);
      }
    }
    peaks_.push_back(hash);
    ++size_;
  }
  uint64_t size() const { return size_; }
  TreeHash Root() const;

 private:
  uint64_t size_ = 0;
  std::vector<TreeHash> peaks_;
};

// HashSource gives hash `index` of tile `level`.
using HashSource = std::function<StatusOr<TreeHash>(int level, uint64_t index)>;

// SubtreeHash is the root of the entries [begin, begin + size), as RFC 6962 splits a tree; `begin`
// is a multiple of the smallest power of two that is not below `size`.
struct EntryRange {
  uint64_t begin = 0;
  uint64_t size = 0;
};
StatusOr<TreeHash> SubtreeHash(EntryRange range, const HashSource& source);
// TreeAt is the right edge of the first `size` entries.
StatusOr<MerkleTree> TreeAt(uint64_t size, const HashSource& source);

// InclusionProof is the audit path of RFC 6962 section 2.1.1, the leaf's sibling first.
struct Inclusion {
  uint64_t index = 0;
  uint64_t tree_size = 0;
};
StatusOr<std::vector<TreeHash>> InclusionProof(const Inclusion& where, const HashSource& source);
// RootFromInclusion computes the root that the proof claims, or an error if it has a wrong length.
StatusOr<TreeHash> RootFromInclusion(const Inclusion& where, const TreeHash& leaf,
                                     const std::vector<TreeHash>& proof);

}  // namespace countersign::audit
