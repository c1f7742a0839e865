#include "sds/agent/exe_digests.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/crypto/hash.h"

namespace countersign::agent {

ExeDigests::ExeDigests(const AgentLimits& limits, const Clock& clock,
                       std::function<void()> on_ready)
    : limits_(limits), clock_(clock), on_ready_(std::move(on_ready)) {
  thread_ = std::thread([this] { Run(); });
}

ExeDigests::~ExeDigests() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

StatusOr<std::string> ExeDigests::Find(const std::shared_ptr<const AttestedProcess>& process) {
  RETURN_IF_ERROR(process->exe_status());
  const ExeIdentity& identity = process->exe_identity();
  if (identity.size > limits_.exe_bytes_max) {
    return ResourceExhausted("the caller's executable is larger than ", limits_.exe_bytes_max,
                             " bytes, the limit for a sha256 selector");
  }
  std::lock_guard lock(mutex_);
  auto found = known_.find(identity);
  if (found != known_.end()) {
    found->second.used = ++uses_;
    StatusOr<std::string> digest = found->second.digest;
    if (!digest.ok()) {
      known_.erase(found);  // The next call tries again.
    }
    return digest;
  }
  RETURN_IF_ERROR(SpendLocked(process->uid(), identity.size));
  if (known_.size() >= limits_.digests_cached_max) {
    ForgetOldestLocked();
  }
  known_[identity].used = ++uses_;
  waiting_.push_back(process);
  changed_.notify_all();
  return std::string();
}

Status ExeDigests::SpendLocked(uid_t uid, size_t bytes) {
  MonotonicTime now = clock_.Monotonic();
  std::erase_if(spent_, [now](const auto& entry) {
    return now - entry.second.minute_began >= std::chrono::minutes(1);
  });
  Spent& spent = spent_.try_emplace(uid, Spent{now, 0}).first->second;
  if (spent.bytes + bytes > limits_.hash_bytes_per_uid_minute_max) {
    return ResourceExhausted("uid ", uid, " has reached its limit of ",
                             limits_.hash_bytes_per_uid_minute_max,
                             " bytes of executables to hash in a minute");
  }
  spent.bytes += bytes;
  return absl::OkStatus();
}

// The limit on bytes a minute bounds what is waiting, so entries being computed may go too: they
// are then computed for nothing.
void ExeDigests::ForgetOldestLocked() {
  auto oldest = std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) {
    return a.second.used < b.second.used;
  });
  known_.erase(oldest);
}

void ExeDigests::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) {
      return;
    }
    std::shared_ptr<const AttestedProcess> process = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    StatusOr<std::string> digest = Hash(*process);
    lock.lock();
    if (auto found = known_.find(process->exe_identity()); found != known_.end()) {
      found->second.digest = std::move(digest);
    }
    lock.unlock();
    on_ready_();
    lock.lock();
  }
}

StatusOr<std::string> ExeDigests::Hash(const AttestedProcess& process) const {
  Sha256Hasher hasher;
  std::string block(256 * 1024, '\0');
  size_t done = 0;
  for (;;) {
    ssize_t got = ::pread(process.exe_fd(), block.data(), block.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return ErrnoError(errno, "read the caller's executable");
    }
    if (got == 0) {
      break;
    }
    done += static_cast<size_t>(got);
    if (done > process.exe_identity().size) {
      return Unavailable("the caller's executable grew while it was read");
    }
    hasher.Update(std::string_view(block.data(), static_cast<size_t>(got)));
  }
  struct stat file = {};
  if (::fstat(process.exe_fd(), &file) != 0 || done != process.exe_identity().size ||
      file.st_mtim.tv_sec * int64_t{1'000'000'000} + file.st_mtim.tv_nsec !=
          process.exe_identity().modified_ns) {
    return Unavailable("the caller's executable changed while it was read");
  }
  return HexLower(hasher.Finish());
}

}  // namespace countersign::agent
