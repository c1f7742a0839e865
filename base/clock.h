// Clock is where every part of the system reads time, so that tests need no sleep.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "base/status.h"

namespace countersign {

using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

// Clock gives wall and monotonic time. Safe for use by any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Now() const = 0;
  virtual MonotonicTime Monotonic() const = 0;

  // System is the machine's clock; it lives as long as the process.
  static const Clock& System();
};

// FakeClock stands still until a test moves it. Both times move together. Safe for any thread.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(WallTime start) : wall_(start.time_since_epoch().count()) {}
  WallTime Now() const override { return WallTime(std::chrono::nanoseconds(wall_.load())); }
  MonotonicTime Monotonic() const override {
    return MonotonicTime(std::chrono::nanoseconds(monotonic_.load()));
  }
  void Advance(std::chrono::nanoseconds by) {
    wall_ += by.count();
    monotonic_ += by.count();
  }
  // JumpWall moves the wall clock alone, as an administrator or NTP does.
  void JumpWall(std::chrono::nanoseconds by) { wall_ += by.count(); }

 private:
  std::atomic<int64_t> wall_;
  std::atomic<int64_t> monotonic_ = 1'000'000'000;
};

// FormatTime prints RFC 3339 in UTC with milliseconds: 2026-01-31T12:00:00.000Z.
std::string FormatTime(WallTime time);

// ParseTime reads RFC 3339 in UTC, or a bare date (midnight UTC): 2027-01-31.
StatusOr<WallTime> ParseTime(std::string_view text);

// ParseDuration reads 250ms, 20s, 15m, 1h30m, 7d; at least one unit, no sign, at most ten years.
StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text);
// FormatDuration prints what ParseDuration reads, in the largest exact units: 1h30m.
std::string FormatDuration(std::chrono::nanoseconds duration);

}  // namespace countersign
