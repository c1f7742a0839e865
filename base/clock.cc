#include "base/clock.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace countersign {
namespace {

using namespace std::chrono_literals;

class SystemClock final : public Clock {
 public:
  WallTime Now() const override { return std::chrono::system_clock::now(); }
  // It also counts the time that the machine sleeps: deadlines of identities are real time.
  MonotonicTime Monotonic() const override {
    timespec now = {};
    CHECK(::clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return MonotonicTime(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
  }
};

// Reads exactly `digits` decimal digits at the front of `text` and drops them.
bool TakeNumber(std::string_view& text, size_t digits, int& value) {
  if (text.size() < digits) {
    return false;
  }
  value = 0;
  for (char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') {
      return false;
    }
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool TakeChar(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

bool TakeClockTime(std::string_view& text, std::chrono::nanoseconds& of_day) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!TakeNumber(text, 2, hour) || !TakeChar(text, ':') || !TakeNumber(text, 2, minute) ||
      !TakeChar(text, ':') || !TakeNumber(text, 2, second) || hour > 23 || minute > 59 ||
      second > 59) {
    return false;
  }
  of_day = std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
  if (TakeChar(text, '.')) {
    std::chrono::nanoseconds unit = 100ms;
    int digit = 0;
    int count = 0;
    while (count < 9 && TakeNumber(text, 1, digit)) {
      of_day += digit * unit;
      unit /= 10;
      ++count;
    }
    if (count == 0) {
      return false;
    }
  }
  return TakeChar(text, 'Z');
}

struct Unit {
  std::string_view name;
  std::chrono::nanoseconds size;
};
constexpr std::array<Unit, 5> kUnits = {
    {{"d", 24h}, {"h", 1h}, {"m", 1min}, {"s", 1s}, {"ms", 1ms}}};
constexpr std::chrono::nanoseconds kDurationMax = 24h * 3650;

}  // namespace

const Clock& Clock::System() {
  static const SystemClock clock;
  return clock;
}

std::string FormatTime(WallTime time) {
  auto days = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day date(days);
  std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::milliseconds>(time - days));
  std::array<char, 64> text;
  int size = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
      static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
      static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
      static_cast<int>(clock.subseconds().count()));
  return {text.data(), static_cast<size_t>(size)};
}

StatusOr<WallTime> ParseTime(std::string_view text) {
  std::string_view rest = text;
  int year = 0;
  int month = 0;
  int day = 0;
  std::chrono::nanoseconds of_day = 0ns;
  bool good = TakeNumber(rest, 4, year) && TakeChar(rest, '-') && TakeNumber(rest, 2, month) &&
              TakeChar(rest, '-') && TakeNumber(rest, 2, day);
  std::chrono::year_month_day date{std::chrono::year(year),
                                   std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  good = good && date.ok() && year >= 1970 && year <= 2200;
  if (good && !rest.empty()) {
    good = TakeChar(rest, 'T') && TakeClockTime(rest, of_day) && rest.empty();
  }
  if (!good) {
    return InvalidArgument("bad time ", Quoted(text), " (use 2027-01-31 or 2027-01-31T12:00:00Z)");
  }
  return WallTime(std::chrono::sys_days(date)) + of_day;
}

StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  std::string_view rest = text;
  std::chrono::nanoseconds total = 0ns;
  size_t next_unit = 0;
  bool good = !rest.empty();
  while (good && !rest.empty()) {
    long long number = 0;
    auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    good = error == std::errc() && number >= 0 && rest.front() != '-' && number < 100'000'000;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    std::string_view name = rest.substr(0, rest.find_first_of("0123456789"));
    size_t unit = next_unit;
    while (unit < kUnits.size() && kUnits[unit].name != name) {
      ++unit;
    }
    good = good && unit < kUnits.size() && number <= kDurationMax / kUnits[unit].size;
    if (good) {
      total += number * kUnits[unit].size;
      next_unit = unit + 1;
      rest.remove_prefix(name.size());
    }
  }
  if (!good || total > kDurationMax) {
    return InvalidArgument("bad duration ", Quoted(text), " (use 250ms, 20s, 15m, 1h30m or 7d)");
  }
  return total;
}

std::string FormatDuration(std::chrono::nanoseconds duration) {
  std::string out;
  for (const Unit& unit : kUnits) {
    if (auto count = duration / unit.size; count > 0) {
      out += Concat(count, unit.name);
      duration -= count * unit.size;
    }
  }
  return out.empty() ? "0s" : out;
}

}  // namespace countersign
