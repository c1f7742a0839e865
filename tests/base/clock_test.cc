#include "base/clock.h"

#include <gtest/gtest.h>

namespace countersign {
namespace {

using namespace std::chrono_literals;

TEST(ClockTest, TimesPrintAndParse) {
  StatusOr<WallTime> time = ParseTime("2027-01-31T12:34:56.789Z");
  ASSERT_TRUE(time.ok()) << time.status();
  EXPECT_EQ(FormatTime(*time), "2027-01-31T12:34:56.789Z");
  EXPECT_EQ(FormatTime(*ParseTime("2027-01-31")), "2027-01-31T00:00:00.000Z");
}

TEST(ClockTest, BadTimesAreRefused) {
  for (const char* text : {"", "2027", "2027-02-30", "2027-01-31T24:00:00Z", "2027-01-31T12:00:00",
                           "2027-01-31T12:00:00.Z", "2027-01-31T12:00:00+01:00", "1969-12-31",
                           "2027-01-31 12:00:00Z", "2027-1-3"}) {
    EXPECT_FALSE(ParseTime(text).ok()) << text;
  }
}

TEST(ClockTest, DurationsPrintAndParse) {
  EXPECT_EQ(*ParseDuration("1h30m"), 90min);
  EXPECT_EQ(*ParseDuration("250ms"), 250ms);
  EXPECT_EQ(*ParseDuration("7d"), 168h);
  EXPECT_EQ(FormatDuration(90min), "1h30m");
  EXPECT_EQ(FormatDuration(0s), "0s");
  EXPECT_EQ(FormatDuration(1500ms), "1s500ms");
}

TEST(ClockTest, BadDurationsAreRefused) {
  for (const char* text : {"", "5", "-5s", "5x", "s", "1m1h", "1s1s", "99999999d", "3651d", "1.5s",
                           "999999999999999999999s"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(ClockTest, FakeClockMovesOnlyWhenTold) {
  FakeClock clock(*ParseTime("2027-01-31"));
  WallTime wall = clock.Now();
  MonotonicTime monotonic = clock.Monotonic();
  clock.Advance(5s);
  EXPECT_EQ(clock.Now() - wall, 5s);
  EXPECT_EQ(clock.Monotonic() - monotonic, 5s);
  clock.JumpWall(-1h);
  EXPECT_EQ(clock.Monotonic() - monotonic, 5s);
}

}  // namespace
}  // namespace countersign
