// Backoff says how long to wait before the next attempt.
#pragma once

#include <chrono>

namespace countersign::sds {

// Backoff doubles from `least` to `most` and takes off up to half at random, so that many callers
// of one place do not come back together. One thread.
class Backoff {
 public:
  struct Bounds {
    std::chrono::milliseconds least;
    std::chrono::milliseconds most;
  };
  explicit Backoff(Bounds bounds) : bounds_(bounds), next_(bounds.least) {}

  std::chrono::milliseconds Next();
  // Reset is called after a success.
  void Reset() { next_ = bounds_.least; }

 private:
  Bounds bounds_;
  std::chrono::milliseconds next_;
};

}  // namespace countersign::sds
