// Policy files on disk.
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "authz/kinds/loader.h"
#include "base/file.h"

namespace countersign::authz {
namespace {

namespace fs = std::filesystem;

// Folders hold other JSON too; a document of ours names its version.
constexpr std::string_view kMarkOfJson = "countersign.dev/";

bool IsYaml(const fs::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

bool IsHidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

StatusOr<SourceFile> ReadStandardInput() {
  SourceFile file{"-", ""};
  std::array<char, 65536> buffer;
  for (;;) {
    ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return ErrnoError(errno, "read standard input");
    }
    if (count == 0) {
      return file;
    }
    file.content.append(buffer.data(), static_cast<size_t>(count));
    if (file.content.size() > LoaderLimits::kFileBytesMax) {
      return InvalidArgument("standard input: more than ", LoaderLimits::kFileBytesMax, " bytes");
    }
  }
}

// FolderReader gathers the files below a folder, each folder in the order of names.
class FolderReader {
 public:
  Status Read(const fs::path& folder, size_t depth) {
    if (depth > LoaderLimits::kFolderDepthMax) {
      return InvalidArgument(folder.string(), ": folders nested deeper than ",
                             LoaderLimits::kFolderDepthMax, " (a loop of links?)");
    }
    std::error_code error;
    std::vector<fs::path> entries;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      if (!IsHidden(at->path())) {
        entries.push_back(at->path());
      }
    }
    if (error) {
      return ErrnoError(error.value(), folder.string());
    }
    std::ranges::sort(entries);
    for (const fs::path& entry : entries) {
      RETURN_IF_ERROR(fs::is_directory(entry, error) ? Read(entry, depth + 1) : ReadOne(entry));
    }
    return absl::OkStatus();
  }
  std::vector<SourceFile> Take() { return std::move(files_); }

 private:
  Status ReadOne(const fs::path& path) {
    bool yaml = IsYaml(path);
    if (!yaml && path.extension() != ".json") {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(std::string content, ReadFile(path.string(), LoaderLimits::kFileBytesMax));
    if (!yaml && content.find(kMarkOfJson) == std::string::npos) {
      return absl::OkStatus();
    }
    bytes_ += content.size();
    files_.push_back({path.string(), std::move(content)});
    if (files_.size() > LoaderLimits::kFilesMax || bytes_ > LoaderLimits::kAllBytesMax) {
      return InvalidArgument(path.string(), ": more than ", LoaderLimits::kFilesMax, " files or ",
                             LoaderLimits::kAllBytesMax, " bytes in one folder");
    }
    return absl::OkStatus();
  }
  std::vector<SourceFile> files_;
  size_t bytes_ = 0;
};

}  // namespace

StatusOr<std::vector<SourceFile>> ReadSources(const std::string& path) {
  if (path == "-") {
    ASSIGN_OR_RETURN(SourceFile file, ReadStandardInput());
    return std::vector<SourceFile>{std::move(file)};
  }
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    ASSIGN_OR_RETURN(std::string content, ReadFile(path, LoaderLimits::kFileBytesMax));
    return std::vector<SourceFile>{{path, std::move(content)}};
  }
  std::string folder = path;
  while (folder.size() > 1 && folder.ends_with('/')) {
    folder.pop_back();
  }
  FolderReader reader;
  RETURN_IF_ERROR(reader.Read(folder, 0));
  std::vector<SourceFile> files = reader.Take();
  if (files.empty()) {
    return NotFound(path, ": no .yaml or .yml file below it, and no .json file that names ",
                    kMarkOfJson);
  }
  return files;
}

}  // namespace countersign::authz
