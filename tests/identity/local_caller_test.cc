#include "identity/local_caller.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <utility>

#include "base/fd.h"
#include "tests/support/temp_dir.h"

namespace {
// What happens between reading a connection's addresses and asking the kernel for their owner.
std::function<void()> before_sendto;  // NOLINT(cert-err58-cpp)
}  // namespace

// In place of libc's.
extern "C" ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                          socklen_t to_size) {
  if (before_sendto) {
    std::exchange(before_sendto, nullptr)();
  }
  return ::syscall(SYS_sendto, fd, data, size, flags, to, to_size);
}

namespace countersign::identity {
namespace {

constexpr uid_t kOtherUid = 65534;

// Where a TCP test listens and what its client dials.
struct Place {
  const char* name;
  int server_family;
  const char* server;
  int client_family;
  const char* target;
};
const Place kPlaces[] = {
    {"v4", AF_INET, "127.0.0.1", AF_INET, "127.0.0.1"},
    {"v4 elsewhere in 127/8", AF_INET, "127.7.7.7", AF_INET, "127.7.7.7"},
    {"v6", AF_INET6, "::1", AF_INET6, "::1"},
    {"v4 client of a dual-stack listener", AF_INET6, "::", AF_INET, "127.0.0.1"},
    {"dual-stack client of a v4 listener", AF_INET, "127.0.0.1", AF_INET6, "::ffff:127.0.0.1"},
    {"dual-stack on both sides", AF_INET6, "::", AF_INET6, "::ffff:127.0.0.1"},
};

struct Address {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address AddressOf(int family, const char* text, in_port_t port) {
  Address address;
  if (family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = port;
    CHECK(::inet_pton(AF_INET, text, &v4.sin_addr) == 1);
    address.size = sizeof(v4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    CHECK(::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    address.size = sizeof(v6);
  }
  return address;
}

// LoopbackPair holds both ends of one real connection.
struct LoopbackPair {
  Fd listener;
  Fd client;
  Fd accepted;

  in_port_t Listen(const Place& place) {
    listener.Reset(::socket(place.server_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int off = 0;
    if (place.server_family == AF_INET6) {
      ::setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    Address address = AddressOf(place.server_family, place.server, 0);
    CHECK(::bind(listener.get(), address.get(), address.size) == 0);
    CHECK(::listen(listener.get(), 4) == 0);
    sockaddr_storage bound = {};
    socklen_t size = sizeof(bound);
    CHECK(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0);
    return bound.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(bound).sin_port
                                      : reinterpret_cast<sockaddr_in6&>(bound).sin6_port;
  }
  static Fd Dial(const Place& place, in_port_t port) {
    Fd fd(::socket(place.client_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Address address = AddressOf(place.client_family, place.target, port);
    return ::connect(fd.get(), address.get(), address.size) == 0 ? std::move(fd) : Fd();
  }
  void Accept() { accepted.Reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)); }
};

// ChildAs runs `body` under another user in a process of its own; it reports by one byte and then
// waits until its standing order, the pipe's end, is closed.
class ChildAs {
 public:
  template <class Body>
  ChildAs(uid_t uid, Body body) {
    int ready[2];
    int order[2];
    CHECK(::pipe2(ready, O_CLOEXEC) == 0 && ::pipe2(order, O_CLOEXEC) == 0);
    pid_ = ::fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      ::close(order[1]);
      bool good = (uid == ::getuid() || ::setresuid(uid, uid, uid) == 0) && body();
      char byte = good ? '+' : '-';
      if (::write(ready[1], &byte, 1) == 1) {
        (void)!::read(order[0], &byte, 1);
      }
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(order[0]);
    order_.Reset(order[1]);
    char byte = '-';
    good_ = ::read(ready[0], &byte, 1) == 1 && byte == '+';
    ::close(ready[0]);
  }
  ~ChildAs() {
    order_.Reset();
    ::waitpid(pid_, nullptr, 0);
  }
  bool good() const { return good_; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
  Fd order_;
  bool good_ = false;
};

// The other user when this process may become one, else its own: the test never skips.
uid_t SomeUid() { return ::getuid() == 0 ? kOtherUid : ::getuid(); }

TEST(LocalCallerTest, AUnixPeerIsKnownByItsCredentials) {
  TempDir folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  std::string path = folder.File("s");
  Fd listener = *ListenUnix(path, 0666);
  Fd held;
  ChildAs child(SomeUid(), [&] {
    StatusOr<Fd> connected = ConnectUnix(path);
    held = connected.ok() ? *std::move(connected) : Fd();
    return held.valid();
  });
  ASSERT_TRUE(child.good());
  Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  StatusOr<LocalCaller> caller = LocalCaller::FromUnixSocket(accepted.get());
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->uid(), SomeUid());
  EXPECT_EQ(caller->pid(), child.pid());
  EXPECT_TRUE(caller->gid().has_value());
  EXPECT_EQ(caller->how(), LocalCaller::How::kUnixPeerCredentials);
}

TEST(LocalCallerTest, AnUnconnectedOrOtherSocketHasNoUnixPeer) {
  Fd lone(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(LocalCaller::FromUnixSocket(lone.get()).ok());
  Fd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(LocalCaller::FromUnixSocket(tcp.get()).ok());
  EXPECT_FALSE(LocalCaller::FromUnixSocket(-1).ok());
}

TEST(LocalCallerTest, ALoopbackPeerIsTheOwnerOfItsSocket) {
  for (const Place& place : kPlaces) {
    SCOPED_TRACE(place.name);
    LoopbackPair pair;
    in_port_t port = pair.Listen(place);
    pair.client = LoopbackPair::Dial(place, port);
    ASSERT_TRUE(pair.client.valid());
    pair.Accept();
    StatusOr<LocalCaller> caller = LocalCaller::FromLoopbackSocket(pair.accepted.get());
    ASSERT_TRUE(caller.ok()) << caller.status();
    EXPECT_EQ(caller->uid(), ::getuid());
    EXPECT_FALSE(caller->pid().has_value());
    EXPECT_EQ(caller->how(), LocalCaller::How::kLoopbackSocket);
  }
}

TEST(LocalCallerTest, AnotherUsersLoopbackSocketIsThatUsers) {
  for (const Place& place : kPlaces) {
    SCOPED_TRACE(place.name);
    LoopbackPair pair;
    in_port_t port = pair.Listen(place);
    ChildAs child(SomeUid(), [&] {
      pair.client = LoopbackPair::Dial(place, port);
      return pair.client.valid();
    });
    ASSERT_TRUE(child.good());
    pair.Accept();
    StatusOr<LocalCaller> caller = LocalCaller::FromLoopbackSocket(pair.accepted.get());
    ASSERT_TRUE(caller.ok()) << caller.status();
    EXPECT_EQ(caller->uid(), SomeUid());
  }
}

TEST(LocalCallerTest, AClosedPeerIsNobody) {
  for (const Place& place : kPlaces) {
    SCOPED_TRACE(place.name);
    LoopbackPair pair;
    in_port_t port = pair.Listen(place);
    pair.client = LoopbackPair::Dial(place, port);
    pair.Accept();
    pair.client.Reset();
    // The end of the stream says that the peer's socket has no owner any more.
    pollfd wait{pair.accepted.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 5000), 1);
    EXPECT_FALSE(LocalCaller::FromLoopbackSocket(pair.accepted.get()).ok());
  }
}

// Answers for `place` whether a caller that resets its connection, and leaves its port to another,
// is taken for him; nothing if somebody else on this host took the port first.
std::optional<StatusCode> AfterATakeover(const Place& place) {
  LoopbackPair pair;
  in_port_t port = pair.Listen(place);
  pair.client = LoopbackPair::Dial(place, port);
  pair.Accept();
  Address own;
  own.size = sizeof(own.storage);
  CHECK(::getsockname(pair.client.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size) ==
        0);
  Fd successor(::socket(place.client_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  bool took_over = false;
  before_sendto = [&] {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(pair.client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    pair.client.Reset();
    const int one = 1;
    ::setsockopt(successor.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    const Address target = AddressOf(place.client_family, place.target, port);
    took_over = ::bind(successor.get(), own.get(), own.size) == 0 &&
                ::connect(successor.get(), target.get(), target.size) == 0;
  };
  const StatusCode code = LocalCaller::FromLoopbackSocket(pair.accepted.get()).status().code();
  return took_over ? std::optional(code) : std::nullopt;
}

TEST(LocalCallerTest, WhoTookAPortOverIsNotTheCaller) {
  for (const Place& place : kPlaces) {
    SCOPED_TRACE(place.name);
    std::optional<StatusCode> code;
    for (int attempt = 0; attempt < 50 && !code.has_value(); ++attempt) {
      code = AfterATakeover(place);
    }
    EXPECT_EQ(code, StatusCode::kNotFound);
  }
}

TEST(LocalCallerTest, OnlyConnectedTcpSocketsAreAsked) {
  LoopbackPair pair;
  pair.Listen(kPlaces[0]);
  EXPECT_FALSE(LocalCaller::FromLoopbackSocket(pair.listener.get()).ok());
  int unix_pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unix_pair), 0);
  Fd left(unix_pair[0]);
  Fd right(unix_pair[1]);
  EXPECT_EQ(LocalCaller::FromLoopbackSocket(left.get()).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace countersign::identity
