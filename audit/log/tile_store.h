// TileStore grows the tiles and bundles of a log on disk, all or nothing a commit.
//
// Append keeps bytes in memory; Flush writes and syncs them; then either Publish gives the partial
// tiles the names that fit the new size, or Rollback takes every byte back. Files only grow, and a
// partial tile is a prefix of its full form, so a crash leaves at most a tail to cut off.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "audit/log/merkle_tree.h"
#include "audit/log/tile_files.h"
#include "base/fd.h"
#include "base/status.h"

namespace countersign::audit {

// TileStore belongs to one thread.
class TileStore {
 public:
  explicit TileStore(std::string folder) : folder_(std::move(folder)) {}

  // CutTo makes `level` hold exactly `count` items in files of the right names, removing what is
  // beyond; `bytes_of_last` is how long the last partial tile must be.
  struct Extent {
    uint64_t count = 0;
    uint64_t bytes_of_last = 0;
  };
  Status CutTo(int level, const Extent& extent);

  // Append adds one item (a framed entry, or a hash) to the end of `level`.
  void Append(int level, std::string_view item);
  Status Flush();
  // Publish may fail for want of room; it is then called again, until it succeeds.
  Status Publish();
  // Rollback takes back what was appended since the last successful Flush. After an error the files
  // are not known any more and nothing may be appended.
  Status Rollback();

 private:
  struct Growing {
    std::string stem;  // Absolute.
    std::string path;  // As on disk; empty: not made yet.
    Fd fd;
    uint64_t committed_width = 0;
    uint64_t committed_bytes = 0;
    uint64_t width = 0;
    std::string pending;
  };
  struct Level {
    uint64_t committed_count = 0;
    uint64_t bytes_of_last = 0;  // Of the partial tile that CutTo left.
    uint64_t count = 0;
    std::vector<Growing> open;  // Those not full or not published yet; the last one grows.
  };

  Status Settle(const TilePlace& place, uint64_t width, std::optional<uint64_t> bytes);
  Status FlushOne(Growing& tile);
  Status MakeFolders(const std::string& path);
  void NameGone(const std::string& stem);
  Status SyncFolders();
  Status PublishOne(Growing& tile);

  std::string folder_;
  std::map<int, Level> levels_;
  std::set<std::string> folders_made_;
  std::set<std::string> folders_to_sync_;
};

}  // namespace countersign::audit
