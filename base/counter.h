// Counter and Histogram are written by one thread without a lock and read by any. This is one of
// the few files that may use atomics.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace countersign {

// Counter counts up. Add belongs to one thread at a time; value is safe for any thread.
class Counter {
 public:
  void Add(uint64_t by = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_ = 0;
};

// Gauge goes up and down; the same thread rules.
class Gauge {
 public:
  void Add(int64_t by) {
    value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_ = 0;
};

// LatencyHistogram counts durations in fixed buckets, from 50 microseconds to 10 seconds.
class LatencyHistogram {
 public:
  static constexpr std::array<uint64_t, 16> kBoundsMicros = {
      50,     100,    250,     500,     1'000,   2'500,     5'000,     10'000,
      25'000, 50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 10'000'000};

  void Observe(uint64_t micros) {
    size_t bucket = 0;
    while (bucket < kBoundsMicros.size() && micros > kBoundsMicros[bucket]) {
      ++bucket;
    }
    buckets_[bucket].Add();
    sum_micros_.Add(micros);
  }
  // bucket counts the observations in bucket `i` alone; the last is "longer than all bounds".
  uint64_t bucket(size_t i) const { return buckets_[i].value(); }
  uint64_t sum_micros() const { return sum_micros_.value(); }

 private:
  std::array<Counter, kBoundsMicros.size() + 1> buckets_;
  Counter sum_micros_;
};

}  // namespace countersign
