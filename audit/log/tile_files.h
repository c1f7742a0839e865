// Where the tiles and entry bundles of a log lie, and reading them. C2SP tlog-tiles below one
// folder.
//
// While a log grows, a partial tile may hold more than its name says: names follow a commit.
// Readers take as much of it as the checkpoint that they hold covers.
#pragma once

#include <map>
#include <string>

#include "audit/log/merkle_tree.h"
#include "base/status.h"

namespace countersign::audit {

inline constexpr size_t kTileBytes = kTileWidth * sizeof(TreeHash);
inline constexpr size_t kBundleBytesMax = kTileWidth * (2 + 0xffff);

// Names of the other files in a log's folder.
inline constexpr std::string_view kCheckpointFile = "checkpoint";
inline constexpr std::string_view kVerifierKeyFile = "log.vkey";
inline constexpr std::string_view kSigningKeyFile = "private/signing-key.pem";
inline constexpr std::string_view kSigningStateFile = "private/signing-state";

// FindTile gives the path, under `folder`, of the full tile or of its partial form; NotFound if
// there is neither.
struct TilePlace {
  int level = 0;
  uint64_t n = 0;
};
StatusOr<std::string> FindTile(const std::string& folder, const TilePlace& place);

// ReadTile reads what FindTile found.
StatusOr<std::string> ReadTile(const std::string& folder, const TilePlace& place);

// TileHashes reads tile hashes, keeping the last tile of each level. One thread.
class TileHashes {
 public:
  explicit TileHashes(std::string folder) : folder_(std::move(folder)) {}
  StatusOr<TreeHash> Get(int level, uint64_t index);
  HashSource AsSource() {
    return [this](int level, uint64_t index) { return Get(level, index); };
  }

 private:
  struct Kept {
    uint64_t n = 0;
    std::string bytes;
  };
  std::string folder_;
  std::map<int, Kept> kept_;
};

}  // namespace countersign::audit
