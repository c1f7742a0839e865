#include "tests/support/sync_spy.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <mutex>

namespace countersign {
namespace {

std::mutex mutex;
bool listening = false;  // Guarded by mutex, as is the next one.
std::set<std::string> heard;

}  // namespace

SyncSpy::SyncSpy() {
  std::lock_guard lock(mutex);
  listening = true;
  heard.clear();
}

SyncSpy::~SyncSpy() {
  std::lock_guard lock(mutex);
  listening = false;
}

std::set<std::string> SyncSpy::synced() const {
  std::lock_guard lock(mutex);
  return heard;
}

}  // namespace countersign

extern "C" int fsync(int fd) {
  auto result = static_cast<int>(::syscall(SYS_fsync, fd));
  std::lock_guard lock(countersign::mutex);
  if (result == 0 && countersign::listening) {
    std::string link = "/proc/self/fd/" + std::to_string(fd);
    std::array<char, 4096> path = {};
    ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
    countersign::heard.emplace(path.data(), size > 0 ? static_cast<size_t>(size) : 0);
  }
  return result;
}
