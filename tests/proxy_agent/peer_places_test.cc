#include "proxy_agent/peer_places.h"

#include <gtest/gtest.h>

namespace countersign::proxy {
namespace {

authz::IpAddress Ip(const std::string& text) { return *Address::Parse(text + ":443")->ip(); }

TEST(HalfOpenTest, AnIpv6NetworkIsOneSourceAndAnIpv4AddressIs) {
  const ProxyLimits limits{.half_open_per_source_max = 64};
  HalfOpen half_open(limits);
  size_t entered = 0;
  for (int host = 0; host < 200; ++host) {
    const std::optional<Limit> refused = half_open.Enter(Ip(Concat("[2001:db8::", host, "]")));
    entered += refused.has_value() ? 0 : 1;
    EXPECT_EQ(refused.value_or(Limit::kHalfOpenPerSource), Limit::kHalfOpenPerSource);
  }
  EXPECT_EQ(entered, 64u);
  EXPECT_FALSE(half_open.Enter(Ip("[2001:db8:0:1::1]")).has_value());
  for (int host = 0; host < 200; ++host) {
    EXPECT_FALSE(half_open.Enter(Ip(Concat("10.0.0.", host))).has_value());
  }
  half_open.Leave(Ip("[2001:db8::ffff]"));
  EXPECT_FALSE(half_open.Enter(Ip("[2001:db8::1]")).has_value());
}

TEST(PeerPlacesTest, APeerWithoutIdentityIsItsIpv4AddressOrItsIpv6Network) {
  const auto from = [](const std::string& address) {
    return PeerName({.door = nullptr, .peer = *Address::Parse(address), .local = std::nullopt},
                    nullptr);
  };
  EXPECT_EQ(from("10.0.0.7:1"), "10.0.0.7");
  EXPECT_EQ(from("10.0.0.7:2"), "10.0.0.7") << "whatever the port";
  EXPECT_NE(from("10.0.0.8:1"), "10.0.0.7");
  EXPECT_EQ(from("[2001:db8::1]:1"), "2001:db8::/64");
  EXPECT_EQ(from("[2001:db8::ffff:1]:1"), "2001:db8::/64");
  EXPECT_NE(from("[2001:db8:0:1::1]:1"), "2001:db8::/64");
}

TEST(PeerPlacesTest, APlaceIsGivenBackOnceAndNothingIsKeptOfWhoHasNone) {
  const ProxyLimits limits{.connections_per_peer_max = 2};
  PeerPlaces places(limits);
  std::optional<PeerPlaces::Place> first = places.Take("web");
  ASSERT_TRUE(first.has_value());
  {
    PeerPlaces::Place second = *places.Take("web");
    PeerPlaces::Place moved = std::move(second);
    EXPECT_FALSE(places.Take("web").has_value());
    EXPECT_TRUE(places.Take("billing").has_value());
    EXPECT_EQ(places.peers(), 1u) << "billing's is gone already";
  }
  EXPECT_TRUE(places.Take("web").has_value());
  first.reset();
  EXPECT_EQ(places.peers(), 0u);
}

TEST(PeerPlacesTest, ALimitOfZeroAdmitsNobodyAndKeepsNothing) {
  const ProxyLimits limits{.connections_per_peer_max = 0};
  PeerPlaces places(limits);
  EXPECT_FALSE(places.Take("web").has_value());
  EXPECT_EQ(places.peers(), 0u);
}

}  // namespace
}  // namespace countersign::proxy
