// The program itself: how it starts, ends, and what it says when something is wrong with its host.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "base/crypto/openssl.h"
#include "base/file.h"
#include "identity/certificate.h"
#include "tests/support/temp_dir.h"

namespace countersign::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// One run of countersign-server. Its log is read until a line or the end is there.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments) {
    int log[2];
    CHECK(::pipe2(log, O_CLOEXEC) == 0);
    std::vector<std::string> words = {std::string(COUNTERSIGN_BIN_DIR) + "/countersign-server"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    pid_ = ::fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      ::dup2(log[1], 1);
      ::dup2(log[1], 2);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(log[1]);
    log_ = Fd(log[0]);
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      Wait();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // ReadUntil reads the log until it holds `text`; false at the end of the log.
  bool ReadUntil(std::string_view text) {
    while (said_.find(text) == std::string::npos) {
      std::array<char, 4096> block;
      ssize_t got = ::read(log_.get(), block.data(), block.size());
      if (got <= 0) {
        return false;
      }
      said_.append(block.data(), static_cast<size_t>(got));
    }
    return true;
  }
  void Signal(int number) { ::kill(pid_, number); }
  // Leaves the program no descriptor but those that it has; gives what it might have.
  rlim_t TakeDescriptors() {
    rlim_t used = 0;
    for ([[maybe_unused]] const auto& one :
         std::filesystem::directory_iterator(Concat("/proc/", pid_, "/fd"))) {
      ++used;
    }
    return SetDescriptors(used);
  }
  // Sets the soft limit, and gives what it was.
  rlim_t SetDescriptors(rlim_t most) {
    rlimit now = {};
    CHECK(::prlimit(pid_, RLIMIT_NOFILE, nullptr, &now) == 0);
    rlimit next = {most, now.rlim_max};
    CHECK(::prlimit(pid_, RLIMIT_NOFILE, &next, nullptr) == 0);
    return now.rlim_cur;
  }
  // Wait reads the rest of the log and gives the exit status.
  int Wait() {
    ReadUntil("\x01never");
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  const std::string& said() const { return said_; }
  int port() const {
    size_t at = said_.find("port=\"");
    return at == std::string::npos ? 0 : std::stoi(said_.substr(at + 6));
  }

 private:
  pid_t pid_ = -1;
  Fd log_;
  std::string said_;
};

class ServerProcessTest : public testing::Test {
 protected:
  std::vector<std::string> Arguments(const std::string& name) {
    return {"run",         "--trust-domain", "shop.example",
            "--data-dir",  Data(name),       "--listen",
            "127.0.0.1:0", "--admin-socket", folder_.File(name + ".sock")};
  }
  std::string Data(const std::string& name) { return folder_.File(name); }
  // Runs to the end; the log must name the fault, the exit status must be 2.
  std::string Fault(const std::vector<std::string>& arguments) {
    Program program(arguments);
    EXPECT_EQ(program.Wait(), 2) << program.said();
    return program.said();
  }
  // Starts once and ends, so that there is a data folder.
  void MakeData(const std::string& name) {
    Program program(Arguments(name));
    ASSERT_TRUE(program.ReadUntil("ready")) << program.said();
    program.Signal(SIGTERM);
    ASSERT_EQ(program.Wait(), 0) << program.said();
  }
  TempDir folder_;
};

Fd ConnectTcp(int port) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return socket;
}

// A TLS connection that speaks HTTP/2; null if the handshake fails.
struct TlsConnection {
  Fd socket;
  std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>> context;
  std::unique_ptr<SSL, Deleter<SSL_free>> ssl;
};
TlsConnection ConnectTls(int port, int highest_version) {
  TlsConnection made;
  made.context.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(made.context.get(), highest_version);
  made.ssl.reset(SSL_new(made.context.get()));
  static constexpr unsigned char kH2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(made.ssl.get(), kH2, sizeof(kH2));
  made.socket = ConnectTcp(port);
  SSL_set_fd(made.ssl.get(), made.socket.get());
  if (SSL_connect(made.ssl.get()) != 1) {
    made.ssl.reset();
  }
  return made;
}

// Serial of the certificate that the port serves, or empty if the handshake fails.
std::string ServedSerial(int port, int highest_version) {
  TlsConnection connection = ConnectTls(port, highest_version);
  if (connection.ssl == nullptr) {
    return "";
  }
  X509Ptr certificate(SSL_get1_peer_certificate(connection.ssl.get()));
  return certificate == nullptr ? "" : identity::SerialHex(certificate.get());
}

bool IsServedSoon(int port) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < deadline) {
    if (!ServedSerial(port, TLS1_3_VERSION).empty()) {
      return true;
    }
  }
  return false;
}

// Whether the other side ends the connection within a minute.
bool IsEnded(const Fd& socket) {
  pollfd wait = {socket.get(), POLLIN, 0};
  char byte = 0;
  return ::poll(&wait, 1, 60'000) == 1 && ::recv(socket.get(), &byte, 1, 0) <= 0;
}

TEST_F(ServerProcessTest, ReadyThenEndsCleanlyOnEitherSignal) {
  for (int number : {SIGTERM, SIGINT}) {
    Program program(Arguments("a"));
    ASSERT_TRUE(program.ReadUntil("ready")) << program.said();
    program.Signal(number);
    EXPECT_EQ(program.Wait(), 0) << program.said();
    EXPECT_NE(::access(folder_.File("a.sock").c_str(), F_OK), 0);
  }
}

TEST_F(ServerProcessTest, FilesAreForTheServersUserAlone) {
  MakeData("a");
  for (const char* name : {"/ca/authority.pem", "/server.key", "/store.db"}) {
    struct stat facts = {};
    ASSERT_EQ(::stat((Data("a") + name).c_str(), &facts), 0) << name;
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(ServerProcessTest, OnlyTls13IsSpoken) {
  Program program(Arguments("a"));
  ASSERT_TRUE(program.ReadUntil("port=\"")) << program.said();
  ASSERT_TRUE(program.ReadUntil("admin_socket"));
  EXPECT_EQ(ServedSerial(program.port(), TLS1_2_VERSION), "");
  EXPECT_NE(ServedSerial(program.port(), TLS1_3_VERSION), "");
}

TEST_F(ServerProcessTest, AFloodOfConnectionsIsOverWhenItIsOver) {
  IgnoreSigpipe();
  Program program(Arguments("a"));
  ASSERT_TRUE(program.ReadUntil("admin_socket")) << program.said();
  {
    std::vector<Fd> flood;
    for (int i = 0; i < 900; ++i) {
      flood.push_back(ConnectTcp(program.port()));
    }
  }
  EXPECT_TRUE(IsServedSoon(program.port()));
}

TEST_F(ServerProcessTest, WithoutADescriptorConnectionsAreClosedAndServedOnceThereIsOne) {
  Program program(Arguments("a"));
  ASSERT_TRUE(program.ReadUntil("admin_socket")) << program.said();
  rlim_t before = program.TakeDescriptors();
  std::vector<Fd> flood;
  for (int i = 0; i < 20; ++i) {
    flood.push_back(ConnectTcp(program.port()));
  }
  for (const Fd& one : flood) {
    EXPECT_TRUE(IsEnded(one));
  }
  EXPECT_TRUE(program.ReadUntil("no descriptor left"));
  program.SetDescriptors(before);
  EXPECT_TRUE(IsServedSoon(program.port()));
}

// Frames of a kind that nobody knows are skipped (RFC 9113 section 4.1), so nothing but the limit
// of what a stranger may send ends this connection.
TEST_F(ServerProcessTest, AStrangerThatSendsWithoutAnEndIsEnded) {
  IgnoreSigpipe();
  Program program(Arguments("a"));
  ASSERT_TRUE(program.ReadUntil("admin_socket")) << program.said();
  TlsConnection stranger = ConnectTls(program.port(), TLS1_3_VERSION);
  ASSERT_NE(stranger.ssl, nullptr);
  std::string preface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  preface += std::string("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 9);  // SETTINGS
  ASSERT_GT(SSL_write(stranger.ssl.get(), preface.data(), static_cast<int>(preface.size())), 0);
  std::string frame("\x00\x20\x00\xee\x00\x00\x00\x00\x00", 9);  // 8 KiB
  frame += std::string(8192, 'x');
  size_t sent = 0;
  // The sweep comes ten times a second; loopback carries much in between.
  while (sent < (size_t{8} << 30) &&
         SSL_write(stranger.ssl.get(), frame.data(), static_cast<int>(frame.size())) > 0) {
    sent += frame.size();
  }
  EXPECT_LT(sent, size_t{8} << 30);
  EXPECT_GE(sent, size_t{200} << 10);
}

// A CA of 60 s gives the server SVIDs of 10 s: a new connection soon meets a new one.
TEST_F(ServerProcessTest, OwnSvidIsRenewedWhileServing) {
  std::vector<std::string> arguments = Arguments("a");
  arguments.insert(arguments.end(), {"--ca-ttl", "60s", "--agent-svid-ttl", "2s"});
  Program program(arguments);
  ASSERT_TRUE(program.ReadUntil("admin_socket")) << program.said();
  std::string first = ServedSerial(program.port(), TLS1_3_VERSION);
  ASSERT_NE(first, "");
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(40);
  std::string now = first;
  while (now == first && std::chrono::steady_clock::now() < deadline) {
    now = ServedSerial(program.port(), TLS1_3_VERSION);
  }
  EXPECT_NE(now, first);
  EXPECT_NE(now, "");
}

TEST_F(ServerProcessTest, SecondServerOnTheSameFolderIsRefused) {
  Program first(Arguments("a"));
  ASSERT_TRUE(first.ReadUntil("ready"));
  EXPECT_THAT(Fault(Arguments("a")),
              AllOf(HasSubstr("in use by another process"), HasSubstr("stop")));
}

TEST_F(ServerProcessTest, PortInUseIsASentence) {
  Program first(Arguments("a"));
  ASSERT_TRUE(first.ReadUntil("admin_socket")) << first.said();
  std::vector<std::string> arguments = Arguments("b");
  arguments[6] = Concat("127.0.0.1:", first.port());
  EXPECT_THAT(Fault(arguments), AllOf(HasSubstr("in use"), HasSubstr("--listen")));
}

TEST_F(ServerProcessTest, AdminSocketInUseIsASentence) {
  Program first(Arguments("a"));
  ASSERT_TRUE(first.ReadUntil("ready"));
  std::vector<std::string> arguments = Arguments("b");
  arguments.back() = folder_.File("a.sock");
  EXPECT_THAT(Fault(arguments), HasSubstr("in use by another process"));
}

TEST_F(ServerProcessTest, KeyThatOthersMayReadIsRefused) {
  MakeData("a");
  ASSERT_EQ(::chmod((Data("a") + "/ca/authority.pem").c_str(), 0640), 0);
  EXPECT_THAT(Fault(Arguments("a")), HasSubstr("chmod 0600"));
}

TEST_F(ServerProcessTest, FolderOfAnotherTrustDomainIsRefused) {
  MakeData("a");
  std::vector<std::string> arguments = Arguments("a");
  arguments[2] = "other.example";
  EXPECT_THAT(Fault(arguments), HasSubstr("trust domain"));
}

TEST_F(ServerProcessTest, DamagedStoreIsRefusedAndRestoredFromABackup) {
  MakeData("a");
  std::string backup = folder_.File("backup.db");
  {
    Program program({"backup", "--data-dir", Data("a"), "--to", backup});
    ASSERT_EQ(program.Wait(), 0) << program.said();
  }
  ASSERT_TRUE(WriteFileAtomically(Data("a") + "/store.db", std::string(8192, 'x'), 0600).ok());
  EXPECT_THAT(Fault(Arguments("a")), AllOf(HasSubstr("damaged"), HasSubstr("restore")));
  {
    Program program({"restore", "--data-dir", Data("a"), "--from", backup});
    ASSERT_EQ(program.Wait(), 0) << program.said();
  }
  MakeData("a");
}

TEST_F(ServerProcessTest, RestoreWhileAServerRunsIsRefused) {
  MakeData("a");
  Program first(Arguments("a"));
  ASSERT_TRUE(first.ReadUntil("ready"));
  EXPECT_THAT(Fault({"restore", "--data-dir", Data("a"), "--from", Data("a") + "/store.db"}),
              HasSubstr("in use by another process"));
}

TEST_F(ServerProcessTest, ReadOnlyFolderIsASentence) {
  MakeData("a");
  std::string mount = folder_.File("ro");
  ASSERT_TRUE(MakeFolder(mount, 0700).ok());
  ASSERT_EQ(::mount("none", mount.c_str(), "tmpfs", MS_RDONLY, "size=1m"), 0)
      << "this test mounts a small file system, and needs root for that";
  std::string said = Fault(Arguments("ro"));
  EXPECT_THAT(said, HasSubstr("mount that file system writable"));
  EXPECT_THAT(said, HasSubstr(mount));
  ::umount2(mount.c_str(), MNT_DETACH);
}

TEST_F(ServerProcessTest, FullDiskIsASentence) {
  std::string mount = folder_.File("full");
  ASSERT_TRUE(MakeFolder(mount, 0700).ok());
  bool mounted = ::mount("none", mount.c_str(), "tmpfs", 0, "size=36k") == 0;
  ASSERT_TRUE(mounted) << "this test mounts a small file system, and needs root for that";
  EXPECT_THAT(Fault(Arguments("full")),
              testing::AnyOf(HasSubstr("make room"), HasSubstr("free space")));
  ::umount2(mount.c_str(), MNT_DETACH);
}

TEST_F(ServerProcessTest, WrongUseIsExplained) {
  EXPECT_THAT(Fault({"run"}), HasSubstr("--trust-domain"));
  std::vector<std::string> arguments = Arguments("a");
  arguments[2] = "Not A Domain";
  EXPECT_THAT(Fault(arguments), HasSubstr("Not A Domain"));
  arguments = Arguments("a");
  arguments.insert(arguments.end(), {"--ca-ttl", "2h", "--agent-svid-ttl", "1h"});
  EXPECT_THAT(Fault(arguments), HasSubstr("at least 6 times"));
  Program help({"--help"});
  EXPECT_EQ(help.Wait(), 0);
  EXPECT_THAT(help.said(), HasSubstr("Examples:"));
}

}  // namespace
}  // namespace countersign::server
