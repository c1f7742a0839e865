#include "identity/server/node_places.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

namespace countersign::server {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Real TCP connections over loopback, entered as if they came from elsewhere.
class NodePlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    ASSERT_EQ(::bind(listener_.get(), Address(), size), 0);
    ASSERT_EQ(::listen(listener_.get(), 64), 0);
    ASSERT_EQ(::getsockname(listener_.get(), Address(), &size), 0);
  }
  struct Connection {
    Fd client;
    Fd server;
  };
  Connection Connect() {
    Connection made;
    made.client = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(made.client.get(), Address(), sizeof(address_)), 0);
    made.server = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(made.server.valid());
    return made;
  }
  static std::string Peer(int n) { return Concat("ipv4:10.0.0.1:", n); }
  Status Enter(const Connection& connection, const std::string& peer) {
    return places_.Enter(*ParsePeer(peer), connection.server.get());
  }
  // Whether the server's side was told to end: its client reads the reset, and then nothing.
  static bool IsEnded(const Connection& connection) {
    char byte = 0;
    const ssize_t got = ::recv(connection.client.get(), &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }
  sockaddr* Address() { return reinterpret_cast<sockaddr*>(&address_); }

  sockaddr_in address_ = {};
  Fd listener_;
  FakeClock clock_{WallTime()};
  NodePlaces places_{{.connections_max = 6,
                      .strangers_max = 4,
                      .strangers_of_source_max = 2,
                      .stranger_life = 20s,
                      .stranger_bytes_max = 1024},
                     clock_};
};

TEST_F(NodePlacesTest, ASourceHasFewStrangersAndAnotherIsStillAdmitted) {
  Connection all[4] = {Connect(), Connect(), Connect(), Connect()};
  EXPECT_TRUE(Enter(all[0], "ipv6:[2001:db8::1]:1").ok());
  EXPECT_TRUE(Enter(all[1], "ipv6:[2001:db8::2]:2").ok());
  EXPECT_THAT(std::string(Message(Enter(all[2], "ipv6:[2001:db8::3]:3"))),
              HasSubstr("2001:db8::/64 has reached its limit of 2 connections"));
  EXPECT_TRUE(Enter(all[3], "ipv6:[2001:db8:0:1::1]:4").ok());
  EXPECT_EQ(places_.strangers(), 3u);
}

TEST_F(NodePlacesTest, AStrangerEndsWithItsTimeAndAnAgentDoesNot) {
  Connection stranger = Connect();
  Connection agent = Connect();
  ASSERT_TRUE(Enter(stranger, Peer(1)).ok());
  ASSERT_TRUE(Enter(agent, Peer(2)).ok());
  places_.Began(Peer(2));
  clock_.Advance(19s);
  places_.Sweep();
  EXPECT_FALSE(IsEnded(stranger));
  clock_.Advance(1s);
  places_.Sweep();
  EXPECT_TRUE(IsEnded(stranger));
  EXPECT_FALSE(IsEnded(agent));
  // Once its streams have ended, a connection is a stranger's again, from then on.
  places_.Ended(Peer(2));
  clock_.Advance(19s);
  places_.Sweep();
  EXPECT_FALSE(IsEnded(agent));
  clock_.Advance(1s);
  places_.Sweep();
  EXPECT_TRUE(IsEnded(agent));
}

TEST_F(NodePlacesTest, AStrangerThatSendsMuchIsEndedAndAnAgentIsNot) {
  Connection stranger = Connect();
  Connection agent = Connect();
  ASSERT_TRUE(Enter(stranger, Peer(1)).ok());
  ASSERT_TRUE(Enter(agent, Peer(2)).ok());
  places_.Began(Peer(2));
  std::string much(1025, 'x');
  for (const Connection* one : {&stranger, &agent}) {
    ASSERT_EQ(::send(one->client.get(), much.data(), 1024, 0), 1024);
  }
  places_.Sweep();
  EXPECT_FALSE(IsEnded(stranger));
  for (const Connection* one : {&stranger, &agent}) {
    ASSERT_EQ(::send(one->client.get(), much.data(), 1, 0), 1);
  }
  places_.Sweep();
  EXPECT_TRUE(IsEnded(stranger));
  EXPECT_FALSE(IsEnded(agent));
  places_.Ended(Peer(2));  // What it sent as an agent does not count.
  places_.Sweep();
  EXPECT_FALSE(IsEnded(agent));
}

TEST_F(NodePlacesTest, WithoutRoomTheSourceThatHoldsMostGivesUpItsOldest) {
  Connection all[6] = {Connect(), Connect(), Connect(), Connect(), Connect(), Connect()};
  ASSERT_TRUE(Enter(all[0], "ipv4:10.0.0.1:1").ok());
  ASSERT_TRUE(Enter(all[1], "ipv4:10.0.0.1:2").ok());
  ASSERT_TRUE(Enter(all[2], "ipv4:10.0.0.2:1").ok());
  ASSERT_TRUE(Enter(all[3], "ipv4:10.0.0.2:2").ok());
  EXPECT_TRUE(Enter(all[4], "ipv4:10.0.0.3:1").ok());
  EXPECT_TRUE(IsEnded(all[0]));
  EXPECT_FALSE(IsEnded(all[1]));
  EXPECT_EQ(places_.strangers(), 4u);
  // The connection that was told to end still takes a place in all.
  EXPECT_EQ(places_.size(), 5u);
  EXPECT_TRUE(Enter(all[5], "ipv4:10.0.0.4:1").ok());
  EXPECT_TRUE(IsEnded(all[2]));
  Connection more = Connect();
  EXPECT_THAT(std::string(Message(Enter(more, "ipv4:10.0.0.5:1"))), HasSubstr("6 connections"));
}

TEST_F(NodePlacesTest, APlaceIsFreeWhenGrpcHasClosedItsDescriptor) {
  Connection first = Connect();
  Connection second = Connect();
  ASSERT_TRUE(Enter(first, Peer(1)).ok());
  ASSERT_TRUE(Enter(second, Peer(2)).ok());
  Connection third = Connect();
  EXPECT_FALSE(Enter(third, Peer(3)).ok());
  first.server.Reset();
  clock_.Advance(1s);
  EXPECT_TRUE(Enter(third, Peer(3)).ok());
  EXPECT_EQ(places_.size(), 2u);
  second.server.Reset();
  third.server.Reset();
  clock_.Advance(1s);
  places_.Sweep();
  EXPECT_EQ(places_.size(), 0u);
  EXPECT_TRUE(IsEnded(second));  // Nor is its connection kept open by ours.
}

TEST_F(NodePlacesTest, ADescriptorsNumberThatCameBackIsNoOldConnection) {
  Connection first = Connect();
  ASSERT_TRUE(Enter(first, Peer(1)).ok());
  int number = first.server.get();
  Connection other = Connect();
  ASSERT_EQ(::dup2(other.server.get(), number), number);
  clock_.Advance(1s);
  places_.Sweep();
  EXPECT_EQ(places_.size(), 0u);
}

TEST_F(NodePlacesTest, FewDescriptorsLowerEveryLimit) {
  places_.Cap(2);
  EXPECT_EQ(places_.connections_max(), 2u);
  Connection first = Connect();
  Connection second = Connect();
  EXPECT_TRUE(Enter(first, Peer(1)).ok());
  EXPECT_FALSE(Enter(second, Peer(2)).ok());  // Half is for agents.
  places_.Began(Peer(1));
  EXPECT_TRUE(Enter(second, Peer(2)).ok());
}

}  // namespace
}  // namespace countersign::server
