#include "identity/server/rate_limiter.h"

#include <algorithm>

namespace countersign::server {

double RateLimiter::Left(const Bucket& bucket, MonotonicTime now) const {
  double seconds = std::chrono::duration<double>(now - bucket.at).count();
  return std::min(rate_.burst, bucket.left + seconds * rate_.per_second);
}

// A full bucket says nothing that a new one would not say; all of those go at once.
void RateLimiter::MakeRoom(MonotonicTime now) {
  std::erase_if(buckets_,
                [&](const auto& entry) { return Left(entry.second, now) >= rate_.burst; });
  if (buckets_.size() >= rate_.keys_max) {
    buckets_.erase(std::max_element(buckets_.begin(), buckets_.end(),
                                    [&](const auto& left, const auto& right) {
                                      return Left(left.second, now) < Left(right.second, now);
                                    }));
  }
}

bool RateLimiter::Take(std::string_view key) {
  std::lock_guard lock(mutex_);
  MonotonicTime now = clock_.Monotonic();
  auto found = buckets_.find(key);
  if (found == buckets_.end()) {
    if (buckets_.size() >= rate_.keys_max) {
      MakeRoom(now);
    }
    found = buckets_.emplace(std::string(key), Bucket{rate_.burst, now}).first;
  }
  Bucket& bucket = found->second;
  bucket = {Left(bucket, now), now};
  if (bucket.left < 1) {
    return false;
  }
  bucket.left -= 1;
  return true;
}

}  // namespace countersign::server
