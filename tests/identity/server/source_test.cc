#include "identity/server/source.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace countersign::server {
namespace {

std::string SourceOfPeer(std::string_view peer) {
  std::optional<Endpoint> endpoint = ParsePeer(peer);
  return endpoint ? SourceOf(*endpoint) : "<none>";
}

TEST(SourceTest, AnIpv4AddressIsASourceAndAnIpv6NetworkIs) {
  EXPECT_EQ(SourceOfPeer("ipv4:10.0.0.1:4711"), "10.0.0.1");
  EXPECT_EQ(SourceOfPeer("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4711"), "2001:db8:1:2::/64");
  EXPECT_EQ(SourceOfPeer("ipv6:[2001:db8:1:2:ffff::6]:1"), "2001:db8:1:2::/64");
  EXPECT_EQ(SourceOfPeer("ipv6:%5B2001:db8:1:3::6%5D:1"), "2001:db8:1:3::/64");
  EXPECT_EQ(SourceOfPeer("ipv6:%5Bfe80::1%25eth0%5D:1"), "fe80::/64");
  EXPECT_EQ(SourceOfPeer("ipv6:%5B::ffff:10.0.0.1%5D:1"), "10.0.0.1");
}

TEST(SourceTest, AnythingElseIsNoEndpoint) {
  for (const char* peer :
       {"", "ipv4:", "ipv4:10.0.0.1", "ipv4:10.0.0.1:", "ipv4:10.0.0.1:65536", "ipv4:10.0.0.1:1x",
        "ipv4:10.0.0:1", "ipv6:%5B::1:1", "ipv6:%5Bno%5D:1", "unix:/tmp/s", "fd:7"}) {
    EXPECT_EQ(SourceOfPeer(peer), "<none>") << peer;
  }
}

TEST(SourceTest, WhatTheKernelSaysAndWhatGrpcSaysIsTheSameEndpoint) {
  sockaddr_storage storage = {};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(4711);
  ASSERT_EQ(::inet_pton(AF_INET, "10.0.0.1", &v4.sin_addr), 1);
  EXPECT_EQ(EndpointOf(storage), ParsePeer("ipv4:10.0.0.1:4711"));
  EXPECT_NE(EndpointOf(storage), ParsePeer("ipv4:10.0.0.1:4712"));
  storage = {};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(4711);
  ASSERT_EQ(::inet_pton(AF_INET6, "::ffff:10.0.0.1", &v6.sin6_addr), 1);
  EXPECT_EQ(EndpointOf(storage), ParsePeer("ipv4:10.0.0.1:4711"));
  ASSERT_EQ(::inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
  EXPECT_EQ(EndpointOf(storage), ParsePeer("ipv6:%5B2001:db8::1%5D:4711"));
  storage.ss_family = AF_UNIX;
  EXPECT_EQ(EndpointOf(storage), std::nullopt);
}

}  // namespace
}  // namespace countersign::server
