#include "audit/log/tile_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/file.h"

namespace countersign::audit {
namespace {

namespace fs = std::filesystem;

// More tiles of one level than a commit touches.
constexpr uint64_t kUnnamedMax = 80;

std::string NameFor(const std::string& stem, uint64_t width) {
  return width == kTileWidth ? stem : Concat(stem, ".p/", width);
}

Status Rename(const std::string& from, const std::string& to) {
  return from == to || ::rename(from.c_str(), to.c_str()) == 0
             ? absl::OkStatus()
             : ErrnoError(errno, Concat("rename ", from));
}

Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t wrote = ::write(fd, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote < 0) {
      return ErrnoError(errno, Concat("write ", path));
    }
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return absl::OkStatus();
}

}  // namespace

Status TileStore::CutTo(int level, const Extent& extent) {
  uint64_t n = extent.count / kTileWidth;
  uint64_t width = extent.count % kTileWidth;
  // What lies beyond goes first, last tile first, so that a crash here leaves no hole.
  uint64_t beyond = n + (width > 0 ? 1 : 0);
  uint64_t end = beyond;
  while (FindTile(folder_, {level, end}).ok()) {
    ++end;
  }
  for (; end > beyond; --end) {
    std::string stem = Concat(folder_, "/", TileStem(level, end - 1));
    std::error_code error;
    fs::remove(stem, error);
    fs::remove_all(stem + ".p", error);
    if (error) {
      return Unavailable("remove ", stem, ": ", error.message());
    }
    NameGone(stem);
  }
  // A crash may have come between making a commit durable and giving its tiles their names.
  for (uint64_t full = n - std::min(n, kUnnamedMax); full < n; ++full) {
    RETURN_IF_ERROR(Settle({level, full}, kTileWidth, std::nullopt));
  }
  if (width > 0) {
    RETURN_IF_ERROR(Settle({level, n}, width, extent.bytes_of_last));
  }
  // Else a power failure could bring back what was cut off, beside what is written after it.
  RETURN_IF_ERROR(SyncFolders());
  Level& state = levels_[level];
  state.open.clear();
  state.count = state.committed_count = extent.count;
  state.bytes_of_last = extent.bytes_of_last;
  return absl::OkStatus();
}

Status TileStore::Settle(const TilePlace& place, uint64_t width, std::optional<uint64_t> bytes) {
  ASSIGN_OR_RETURN(std::string path, FindTile(folder_, place));
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid() ||
      (bytes.has_value() && ::ftruncate(fd.get(), static_cast<off_t>(*bytes)) != 0) ||
      ::fdatasync(fd.get()) != 0) {
    return ErrnoError(errno, Concat("mend ", path));
  }
  std::string stem = Concat(folder_, "/", TileStem(place.level, place.n));
  std::string name = NameFor(stem, width);
  if (path != name) {
    RETURN_IF_ERROR(MakeFolders(name));
    RETURN_IF_ERROR(Rename(path, name));
    NameGone(stem);
  }
  if (width == kTileWidth) {
    ::rmdir((stem + ".p").c_str());
  }
  return absl::OkStatus();
}

Status TileStore::MakeFolders(const std::string& path) {
  std::string parent = fs::path(path).parent_path().string();
  if (folders_made_.contains(parent)) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(MakeFolder(parent, 0700));
  for (std::string up = parent; up.size() > folder_.size();) {
    up = fs::path(up).parent_path().string();
    folders_to_sync_.insert(up);
  }
  // Folders of partial tiles come and go; the others are few and stay.
  if (!parent.ends_with(".p")) {
    folders_made_.insert(parent);
  }
  return absl::OkStatus();
}

void TileStore::Append(int level, std::string_view item) {
  Level& state = levels_[level];
  uint64_t place = state.count % kTileWidth;
  if (state.open.empty() || place == 0) {
    Growing tile;
    tile.stem = Concat(folder_, "/", TileStem(level, state.count / kTileWidth));
    if (place > 0) {
      tile.path = NameFor(tile.stem, place);
      tile.committed_bytes = state.bytes_of_last;
    }
    tile.width = tile.committed_width = place;
    state.open.push_back(std::move(tile));
  }
  Growing& tile = state.open.back();
  tile.pending.append(item);
  ++tile.width;
  ++state.count;
}

Status TileStore::SyncFolders() {
  for (const std::string& folder : folders_to_sync_) {
    // A partial tile's folder goes when its tile is full or taken back; the one above is here too.
    if (Status synced = SyncFolder(folder);
        !synced.ok() && synced.code() != StatusCode::kNotFound) {
      return synced;
    }
  }
  folders_to_sync_.clear();
  return absl::OkStatus();
}

void TileStore::NameGone(const std::string& stem) {
  folders_to_sync_.insert(fs::path(stem).parent_path().string());
  folders_to_sync_.insert(stem + ".p");
}

Status TileStore::FlushOne(Growing& tile) {
  if (tile.pending.empty()) {
    return absl::OkStatus();
  }
  if (!tile.fd.valid()) {
    bool fresh = tile.path.empty();
    if (fresh) {
      tile.path = NameFor(tile.stem, tile.width);
      RETURN_IF_ERROR(MakeFolders(tile.path));
      folders_to_sync_.insert(fs::path(tile.path).parent_path().string());
    }
    tile.fd.Reset(::open(
        tile.path.c_str(),
        O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (fresh ? O_CREAT | O_TRUNC : 0), 0600));
    if (!tile.fd.valid()) {
      return ErrnoError(errno, Concat("open ", tile.path));
    }
  }
  RETURN_IF_ERROR(WriteAll(tile.fd.get(), tile.pending, tile.path));
  return absl::OkStatus();
}

Status TileStore::Flush() {
  for (auto& [level, state] : levels_) {
    for (Growing& tile : state.open) {
      RETURN_IF_ERROR(FlushOne(tile));
    }
  }
  // First start writing all files: their places on the disk are then taken together, and the file
  // system's journal commits once for all of them. What this call says does not matter.
  for (auto& [level, state] : levels_) {
    for (Growing& tile : state.open) {
      if (!tile.pending.empty()) {
        ::sync_file_range(tile.fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
      }
    }
  }
  for (auto& [level, state] : levels_) {
    for (Growing& tile : state.open) {
      if (!tile.pending.empty() && ::fdatasync(tile.fd.get()) != 0) {
        return ErrnoError(errno, Concat("sync ", tile.path));
      }
    }
  }
  RETURN_IF_ERROR(SyncFolders());
  for (auto& [level, state] : levels_) {
    for (Growing& tile : state.open) {
      tile.committed_bytes += tile.pending.size();
      tile.committed_width = tile.width;
      tile.pending.clear();
    }
    state.committed_count = state.count;
  }
  return absl::OkStatus();
}

Status TileStore::PublishOne(Growing& tile) {
  std::string name = NameFor(tile.stem, tile.width);
  if (tile.path != name) {
    RETURN_IF_ERROR(Rename(tile.path, name));
    tile.path = name;
    if (tile.width == kTileWidth) {
      ::rmdir((tile.stem + ".p").c_str());
    }
  }
  return absl::OkStatus();
}

Status TileStore::Publish() {
  for (auto& [level, state] : levels_) {
    for (Growing& tile : state.open) {
      RETURN_IF_ERROR(PublishOne(tile));
    }
    std::erase_if(state.open, [](const Growing& tile) { return tile.width == kTileWidth; });
  }
  return absl::OkStatus();
}

Status TileStore::Rollback() {
  for (auto& [level, state] : levels_) {
    std::vector<Growing> kept;
    for (Growing& tile : state.open) {
      if (tile.committed_width == 0) {
        ::unlink(tile.path.c_str());
        ::rmdir((tile.stem + ".p").c_str());
        NameGone(tile.stem);
        continue;
      }
      if (tile.fd.valid() &&
          ::ftruncate(tile.fd.get(), static_cast<off_t>(tile.committed_bytes)) != 0) {
        return ErrnoError(errno, Concat("truncate ", tile.path));
      }
      tile.width = tile.committed_width;
      tile.pending.clear();
      kept.push_back(std::move(tile));
    }
    state.open = std::move(kept);
    state.count = state.committed_count;
  }
  // A tile that a power failure brought back would look like a tail to adopt.
  return SyncFolders();
}

}  // namespace countersign::audit
