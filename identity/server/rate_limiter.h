// RateLimiter holds each of many callers to a rate, with a burst: a token bucket for each key.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace countersign::server {

struct Rate {
  double per_second;
  double burst;
  size_t keys_max = 4096;  // Callers remembered at a time; the fullest buckets are forgotten first.
};

// RateLimiter is safe for any thread. The clock outlives it.
class RateLimiter {
 public:
  RateLimiter(const Rate& rate, const Clock& clock) : rate_(rate), clock_(clock) {}
  // Take is true if the caller may go on. Over keys_max the caller is forgotten who would be
  // allowed most, which loses least: a newcomer is never refused because others called.
  bool Take(std::string_view key);

 private:
  struct Bucket {
    double left;
    MonotonicTime at;
  };
  void MakeRoom(MonotonicTime now);
  double Left(const Bucket& bucket, MonotonicTime now) const;

  const Rate rate_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Bucket, std::less<>> buckets_;
};

}  // namespace countersign::server
