#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <vector>

namespace countersign {
namespace {

StatusOr<std::string> ReadOpened(const Fd& fd, const std::string& path, size_t bytes_max) {
  std::string content;
  std::string block(64 * 1024, '\0');
  for (;;) {
    ssize_t got = ::read(fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoError(errno, Concat("read ", path));
    }
    if (got == 0) {
      return content;
    }
    content.append(block.data(), static_cast<size_t>(got));
    if (content.size() > bytes_max) {
      return ResourceExhausted(path, " is larger than the limit of ", bytes_max, " bytes");
    }
  }
}

StatusOr<Fd> OpenRegular(const std::string& path, struct stat& facts) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid() || ::fstat(fd.get(), &facts) != 0) {
    return ErrnoError(errno, Concat("open ", path));
  }
  if (!S_ISREG(facts.st_mode)) {
    return InvalidArgument(path, " is not a regular file");
  }
  return fd;
}

Status SyncFolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  return SyncFolder(folder.empty() ? "." : folder);
}

Status SyncOpened(const Fd& fd, const std::string& path) {
  return fd.valid() && ::fsync(fd.get()) == 0 ? absl::OkStatus()
                                              : ErrnoError(errno, Concat("sync ", path));
}

constexpr int kLinksMax = 40;  // As the kernel has it.

// Parts are the components of a path that is still to be walked, the next one last.
using Parts = std::vector<std::string>;

void AddParts(const std::filesystem::path& path, Parts& parts) {
  Parts forward;
  for (const std::filesystem::path& part : path.relative_path()) {
    if (!part.empty() && part != ".") {
      forward.push_back(part.string());
    }
  }
  parts.insert(parts.end(), forward.rbegin(), forward.rend());
}

enum class Place { kOnTheWay, kLast };

Status CheckOneFolder(const std::string& folder, const struct stat& facts, Place place) {
  constexpr std::string_view kWhatToDo =
      "use a folder that only root or this program's user may write to, such as one below /run";
  if (facts.st_uid != 0 && facts.st_uid != ::geteuid()) {
    return FailedPrecondition(folder, " belongs to uid ", facts.st_uid,
                              ", who could put another socket in this one's place; ", kWhatToDo);
  }
  if (S_ISLNK(facts.st_mode)) {
    return place == Place::kOnTheWay
               ? absl::OkStatus()
               : FailedPrecondition(folder, " is a symbolic link; name the folder it leads to");
  }
  bool sticky = (facts.st_mode & S_ISVTX) != 0;
  if ((facts.st_mode & 022) != 0 && (place == Place::kLast || !sticky)) {
    return FailedPrecondition(folder, " may be written to by others, who could put another socket ",
                              "in this one's place; run: chmod go-w ", folder, "; or ", kWhatToDo);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  struct stat facts = {};
  ASSIGN_OR_RETURN(Fd fd, OpenRegular(path, facts));
  return ReadOpened(fd, path, bytes_max);
}

StatusOr<std::string> ReadSecretFile(const std::string& path, size_t bytes_max) {
  struct stat facts = {};
  ASSIGN_OR_RETURN(Fd fd, OpenRegular(path, facts));
  if ((facts.st_mode & 077) != 0) {
    return PermissionDenied(path, " may be opened by others; run: chmod 0600 ", path);
  }
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0) {
    return PermissionDenied(path, " belongs to uid ", facts.st_uid, ", not to this program's user");
  }
  return ReadOpened(fd, path, bytes_max);
}

Status WriteFileAtomically(const std::string& path, std::string_view content, unsigned mode) {
  std::string temporary = Concat(path, ".", ::getpid(), ".new");
  // A new file each time: one that is there may be held open by somebody else.
  ::unlink(temporary.c_str());
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.valid() || ::fchmod(fd.get(), mode) != 0) {
    return ErrnoError(errno, Concat("create ", temporary));
  }
  while (!content.empty()) {
    ssize_t wrote = ::write(fd.get(), content.data(), content.size());
    if (wrote < 0 && errno == EINTR) {
      continue;
    }
    if (wrote < 0) {
      int error_number = errno;
      ::unlink(temporary.c_str());
      return ErrnoError(error_number, Concat("write ", temporary));
    }
    content.remove_prefix(static_cast<size_t>(wrote));
  }
  if (::fsync(fd.get()) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
    int error_number = errno;
    ::unlink(temporary.c_str());
    return ErrnoError(error_number, Concat("replace ", path));
  }
  return SyncFolderOf(path);
}

Status MakeFolder(const std::string& path, unsigned mode) {
  std::error_code error;
  std::filesystem::path whole(path);
  if (whole.has_parent_path() && !std::filesystem::exists(whole.parent_path(), error)) {
    RETURN_IF_ERROR(MakeFolder(whole.parent_path().string(), mode));
  }
  if (::mkdir(path.c_str(), mode) == 0) {
    // mkdir obeys the umask; the caller's mode is what is meant.
    return ::chmod(path.c_str(), mode) == 0 ? absl::OkStatus()
                                            : ErrnoError(errno, Concat("chmod ", path));
  }
  if (errno == EEXIST && std::filesystem::is_directory(whole, error)) {
    return absl::OkStatus();
  }
  return ErrnoError(errno, Concat("make folder ", path));
}

Status CheckSocketFolder(const std::string& socket_path) {
  std::error_code error;
  std::filesystem::path whole = std::filesystem::absolute(socket_path, error);
  if (error) {
    return ErrnoError(error.value(), Concat("look at ", socket_path));
  }
  Parts parts;
  AddParts(whole.parent_path(), parts);
  std::filesystem::path at = "/";
  for (int links = 0; !parts.empty();) {
    std::filesystem::path next = at / parts.back();
    parts.pop_back();
    struct stat facts = {};
    if (::lstat(next.c_str(), &facts) != 0) {
      return ErrnoError(errno, Concat("look at ", next.string()));
    }
    RETURN_IF_ERROR(
        CheckOneFolder(next.string(), facts, parts.empty() ? Place::kLast : Place::kOnTheWay));
    if (!S_ISLNK(facts.st_mode)) {
      at = next;
      continue;
    }
    std::filesystem::path target = std::filesystem::read_symlink(next, error);
    if (error || ++links > kLinksMax) {
      return ErrnoError(error ? error.value() : ELOOP, Concat("follow ", next.string()));
    }
    at = target.is_absolute() ? "/" : at;
    AddParts(target, parts);
  }
  return absl::OkStatus();
}

Status SyncFile(const std::string& path) {
  return SyncOpened(Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)), path);
}

Status SyncFolder(const std::string& path) {
  return SyncOpened(Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path);
}

StatusOr<Fd> LockFolder(const std::string& folder) {
  std::string path = folder + "/lock";
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return ErrnoError(errno, Concat("open ", path));
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return FailedPrecondition(folder,
                                " is in use by another process; stop that one first, or give "
                                "this one a folder of its own");
    }
    return ErrnoError(errno, Concat("lock ", path));
  }
  return fd;
}

}  // namespace countersign
