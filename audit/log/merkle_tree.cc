#include "audit/log/merkle_tree.h"

#include <bit>
#include <cstring>

namespace countersign::audit {
TreeHash LeafHash(std::string_view entry) {
  thread_local std::string prefixed;
  prefixed.assign(1, kLeafPrefix);
  prefixed.append(entry);
  return Sha256(prefixed);
}

TreeHash NodeHash(const TreeHash& left, const TreeHash& right) {
  std::array<char, 1 + 2 * sizeof(TreeHash)> bytes;
  bytes[0] = '\1';
  std::memcpy(bytes.data() + 1, left.data(), left.size());
  std::memcpy(bytes.data() + 1 + left.size(), right.data(), right.size());
  return Sha256({bytes.data(), bytes.size()});
}

TreeHash EmptyTreeHash() { return Sha256(""); }

// C2SP tlog-tiles: "<N> is ... encoded into 3-digit path elements. All but the last path element
// MUST begin with an x".
std::string TileStem(int level, uint64_t n) {
  std::string path;
  for (bool last = true; last || n > 0; last = false, n /= 1000) {
    std::string group = Concat(n % 1000);
    group.insert(0, 3 - group.size(), '0');
    path = Concat(last ? "/" : "/x", group, path);
  }
  return level == kEntriesLevel ? Concat("tile/entries", path) : Concat("tile/", level, path);
}

std::string TileName(int level, uint64_t n, uint64_t width) {
  std::string stem = TileStem(level, n);
  return width == kTileWidth ? stem : Concat(stem, ".p/", width);
}

TreeHash MerkleTree::Root() const {
  if (peaks_.empty()) {
    return EmptyTreeHash();
  }
  TreeHash root = peaks_.back();
  for (size_t i = peaks_.size() - 1; i > 0; --i) {
    root = NodeHash(peaks_[i - 1], root);
  }
  return root;
}

StatusOr<TreeHash> SubtreeHash(EntryRange range, const HashSource& source) {
  if (range.size == 0) {
    return EmptyTreeHash();
  }
  if (!std::has_single_bit(range.size)) {
    uint64_t left = std::bit_floor(range.size);
    ASSIGN_OR_RETURN(TreeHash first, SubtreeHash({range.begin, left}, source));
    ASSIGN_OR_RETURN(TreeHash second, SubtreeHash({range.begin + left, range.size - left}, source));
    return NodeHash(first, second);
  }
  int height = std::countr_zero(range.size);
  int level = height / 8;
  uint64_t index = range.begin >> (8 * level);
  std::vector<TreeHash> hashes;
  for (uint64_t i = 0; i < uint64_t{1} << (height % 8); ++i) {
    ASSIGN_OR_RETURN(TreeHash hash, source(level, index + i));
    hashes.push_back(hash);
  }
  for (; hashes.size() > 1; hashes.resize(hashes.size() / 2)) {
    for (size_t i = 0; i < hashes.size() / 2; ++i) {
      hashes[i] = NodeHash(hashes[2 * i], hashes[2 * i + 1]);
    }
  }
  return hashes.front();
}

StatusOr<MerkleTree> TreeAt(uint64_t size, const HashSource& source) {
  std::vector<TreeHash> peaks;
  uint64_t begin = 0;
  for (uint64_t rest = size; rest > 0;) {
    uint64_t part = std::bit_floor(rest);
    ASSIGN_OR_RETURN(TreeHash peak, SubtreeHash({begin, part}, source));
    peaks.push_back(peak);
    begin += part;
    rest -= part;
  }
  return MerkleTree(size, std::move(peaks));
}

StatusOr<std::vector<TreeHash>> InclusionProof(const Inclusion& where, const HashSource& source) {
  if (where.index >= where.tree_size) {
    return InvalidArgument("record ", where.index, " is not in a tree of ", where.tree_size);
  }
  // From the root down; reversed at the end.
  std::vector<TreeHash> path;
  EntryRange range = {0, where.tree_size};
  while (range.size > 1) {
    uint64_t left = std::bit_floor(range.size - 1);
    EntryRange first = {range.begin, left};
    EntryRange second = {range.begin + left, range.size - left};
    bool in_first = where.index < second.begin;
    ASSIGN_OR_RETURN(TreeHash sibling, SubtreeHash(in_first ? second : first, source));
    path.push_back(sibling);
    range = in_first ? first : second;
  }
  return std::vector<TreeHash>(path.rbegin(), path.rend());
}

StatusOr<TreeHash> RootFromInclusion(const Inclusion& where, const TreeHash& leaf,
                                     const std::vector<TreeHash>& proof) {
  if (where.index >= where.tree_size) {
    return InvalidArgument("record ", where.index, " is not in a tree of ", where.tree_size);
  }
  // RFC 9162 section 2.1.3.2, which spells out the check of RFC 6962's audit path.
  uint64_t fn = where.index;
  uint64_t sn = where.tree_size - 1;
  TreeHash root = leaf;
  for (const TreeHash& sibling : proof) {
    if (sn == 0) {
      return InvalidArgument("the proof is too long");
    }
    if ((fn & 1) != 0 || fn == sn) {
      root = NodeHash(sibling, root);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      root = NodeHash(root, sibling);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) {
    return InvalidArgument("the proof is too short");
  }
  return root;
}

}  // namespace countersign::audit
