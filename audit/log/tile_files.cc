#include "audit/log/tile_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"

namespace countersign::audit {

StatusOr<std::string> FindTile(const std::string& folder, const TilePlace& place) {
  std::string stem = Concat(folder, "/", TileStem(place.level, place.n));
  std::error_code error;
  if (std::filesystem::is_regular_file(stem, error)) {
    return stem;
  }
  // One partial form at a time; the widest if a crash left two.
  uint64_t widest = 0;
  for (const auto& entry : std::filesystem::directory_iterator(stem + ".p", error)) {
    std::string name = entry.path().filename().string();
    uint64_t width = 0;
    auto [end, parse] = std::from_chars(name.data(), name.data() + name.size(), width);
    if (parse == std::errc() && end == name.data() + name.size() && width < kTileWidth) {
      widest = std::max(widest, width);
    }
  }
  if (widest > 0) {
    return Concat(stem, ".p/", widest);
  }
  return NotFound(stem, " is missing");
}

StatusOr<std::string> ReadTile(const std::string& folder, const TilePlace& place) {
  size_t bytes_max = place.level == kEntriesLevel ? kBundleBytesMax : kTileBytes;
  Status last;
  // A commit of the running log may rename the tile between looking and opening.
  for (int attempt = 0; attempt < 10; ++attempt) {
    StatusOr<std::string> bytes = FindTile(folder, place);
    if (bytes.ok()) {
      bytes = ReadFile(*bytes, bytes_max);
    }
    if (bytes.ok()) {
      return bytes;
    }
    last = bytes.status();
  }
  return last;
}

StatusOr<TreeHash> TileHashes::Get(int level, uint64_t index) {
  uint64_t n = index / kTileWidth;
  size_t at = index % kTileWidth * sizeof(TreeHash);
  auto kept = kept_.find(level);
  if (kept == kept_.end() || kept->second.n != n || kept->second.bytes.size() < at + 32) {
    ASSIGN_OR_RETURN(std::string bytes, ReadTile(folder_, {level, n}));
    kept = kept_.insert_or_assign(level, Kept{n, std::move(bytes)}).first;
  }
  TreeHash hash = {};
  if (kept->second.bytes.size() < at + hash.size()) {
    return NotFound(TileStem(level, n), " ends before hash ", index % kTileWidth);
  }
  std::copy_n(kept->second.bytes.begin() + static_cast<ptrdiff_t>(at), hash.size(), hash.begin());
  return hash;
}

}  // namespace countersign::audit
