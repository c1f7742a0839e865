// Who connects to the node port without being an agent holds few places, and those not for long.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/identity/server/server_fixture.h"

namespace countersign::server {
namespace {

constexpr int kPatienceMs = 60'000;

// A TCP connection from a loopback address of choice.
Fd ConnectFrom(const char* from, int port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  CHECK(::inet_pton(AF_INET, from, &address.sin_addr) == 1);
  CHECK(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  address.sin_port = htons(static_cast<uint16_t>(port));
  CHECK(::inet_pton(AF_INET, "127.0.0.1", &address.sin_addr) == 1);
  CHECK(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return socket;
}

// Whether the server ended the connection, waiting at most so long.
bool HasEnded(const Fd& socket, int wait_ms) {
  pollfd wait = {socket.get(), POLLIN, 0};
  char byte = 0;
  return ::poll(&wait, 1, wait_ms) == 1 && ::recv(socket.get(), &byte, 1, 0) <= 0;
}

class NodePortTest : public ServerTest {
 protected:
  NodePortTest() {
    node_places_.strangers_of_source_max = 4;
    node_places_.stranger_life = std::chrono::seconds(5);
  }
};

TEST_F(NodePortTest, AnAgentsConnectionOutlivesAStrangers) {
  TestStream agent(server_->port(), *Join("node-1"));
  agent.Hello();
  agent.NextUpdate();
  Fd stranger = ConnectFrom("127.0.0.2", server_->port());
  EXPECT_TRUE(HasEnded(stranger, kPatienceMs));
  Fd later = ConnectFrom("127.0.0.2", server_->port());  // So that the agent's is older than two.
  EXPECT_TRUE(HasEnded(later, kPatienceMs));
  Apply(OneRegistration("later"));
  EXPECT_THAT(Names(agent.NextUpdate()), testing::ElementsAre("Registration/later"));
}

TEST_F(NodePortTest, OneSourcesStrangersKeepNoOtherOut) {
  std::vector<Fd> held;
  size_t refused = 0;
  for (int i = 0; i < 100; ++i) {
    held.push_back(ConnectFrom("127.0.0.2", server_->port()));
  }
  for (const Fd& one : held) {
    refused += HasEnded(one, kPatienceMs) ? 1 : 0;
  }
  EXPECT_EQ(refused, 100u);  // Most at once, four with their time.
  for (int i = 0; i < 4; ++i) {
    held.push_back(ConnectFrom("127.0.0.2", server_->port()));
  }
  TestStream agent(server_->port(), *Join("node-1"));  // From another address, while they are held.
  agent.Hello();
  EXPECT_TRUE(agent.NextUpdate().full());
}

TEST_F(NodePortTest, AnAgentWhoseStreamsEndMayBeginAgain) {
  auto svid = Join("node-1");
  for (int i = 0; i < 10; ++i) {  // More than a source's strangers.
    // Its former connections are strangers' until gRPC has closed them, so it may have to try
    // again.
    EXPECT_TRUE(Eventually([&] {
      TestStream stream(server_->port(), *svid);
      stream.Hello();
      std::optional<v1::ServerMessage> first = stream.Next();
      return first.has_value() && first->has_update();
    }));
  }
}

}  // namespace
}  // namespace countersign::server
