#include <gtest/gtest.h>

#include "identity/server/node_attestation_service.h"
#include "identity/server/source.h"

namespace countersign::server {
namespace {

std::string SourceFrom(const std::string& peer) { return SourceOf(*ParsePeer(peer)); }

TEST(AttestationRateTest, AllAddressesOfAnIpv6NetworkShareOneRate) {
  FakeClock clock(*ParseTime("2026-01-31"));
  AttestationRate rate(clock);
  size_t taken = 0;
  for (int i = 0; i < 1000; ++i) {
    taken += rate.Take(SourceFrom(Concat("ipv6:[2001:db8::", i, "]:1"))) ? 1 : 0;
  }
  EXPECT_EQ(taken, 50u);
  EXPECT_TRUE(rate.Take(SourceFrom("ipv6:[2001:db8:0:1::1]:1")));
}

TEST(AttestationRateTest, ASourceThatCalledLittleStillJoinsWhenOthersUsedUpWhatIsForAll) {
  FakeClock clock(*ParseTime("2026-01-31"));
  AttestationRate rate(clock);
  // A thousand addresses that call without an end.
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 1000; ++i) {
      rate.Take(Concat("10.1.", i / 256, ".", i % 256));
    }
    clock.Advance(std::chrono::seconds(1));
  }
  while (rate.Take("10.1.0.1")) {
  }
  for (int i = 0; i < 1000; ++i) {
    rate.Take(Concat("10.1.", i / 256, ".", i % 256));
  }
  EXPECT_FALSE(rate.Take("10.1.3.200"));
  EXPECT_TRUE(rate.Take("192.0.2.1"));  // GetBundle,
  EXPECT_TRUE(rate.Take("192.0.2.1"));  // then AttestNode.
  // It is a reserve for few calls, not another way in.
  size_t taken = 0;
  for (int i = 0; i < 50; ++i) {
    taken += rate.Take("192.0.2.1") ? 1 : 0;
  }
  EXPECT_LE(taken, 2u);
}

TEST(AttestationRateTest, TheReserveHasAnEndToo) {
  FakeClock clock(*ParseTime("2026-01-31"));
  AttestationRate rate(clock);
  size_t taken = 0;
  for (int i = 0; i < 5000; ++i) {
    taken += rate.Take(Concat("10.1.", i / 256, ".", i % 256)) ? 1 : 0;
  }
  EXPECT_EQ(taken, 700u);  // The bursts of both.
}

}  // namespace
}  // namespace countersign::server
