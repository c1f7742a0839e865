// Attestation against real processes that call the socket: other users, other programs, processes
// that end or become something else.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/crypto/hash.h"
#include "base/file.h"
#include "tests/sds/agent/running_agent.h"

namespace countersign::agent {
namespace {

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";
constexpr uid_t kForeignUid = 64001;
const std::string kSvidLine = Concat("svid ", kWebId);
const std::string kDeniedLine = "code 7";        // PERMISSION_DENIED
const std::string kUnavailableLine = "code 14";  // UNAVAILABLE

// Caller is a workload_caller process, ended with the test.
class Caller {
 public:
  struct Start {
    std::string program;
    std::vector<std::string> arguments;
    std::optional<uid_t> uid;
    std::vector<std::string> environment;
    std::string mounted = "";  // A file that this process alone sees at `program`.
  };
  explicit Caller(const Start& start) {
    int out[2];
    int in[2];
    CHECK(::pipe2(out, O_CLOEXEC) == 0 && ::pipe2(in, O_CLOEXEC) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(in[0], STDIN_FILENO);
      ::setpgid(0, 0);
      Exec(start);
    }
    ::close(out[1]);
    ::close(in[0]);
    out_ = Fd(out[0]);
    in_ = Fd(in[1]);
  }
  ~Caller() {
    ::kill(-pid_, SIGKILL);  // The group that it made for itself and its child.
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // Line is the next one it prints; empty after ten seconds without one.
  std::string Line() {
    for (;;) {
      if (size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      pollfd wait = {out_.get(), POLLIN, 0};
      char block[4096];
      ssize_t got = ::poll(&wait, 1, 10'000) == 1 ? ::read(out_.get(), block, sizeof(block)) : 0;
      if (got <= 0) {
        return "";
      }
      buffer_.append(block, static_cast<size_t>(got));
    }
  }
  void Go() { EXPECT_EQ(::write(in_.get(), "go\n", 3), 3); }

 private:
  [[noreturn]] static void Exec(const Start& start) {
    if (!start.mounted.empty() &&
        (::unshare(CLONE_NEWNS) != 0 ||
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
         ::mount(start.mounted.c_str(), start.program.c_str(), nullptr, MS_BIND, nullptr) != 0)) {
      ::_exit(5);
    }
    if (start.uid &&
        (::setgroups(0, nullptr) != 0 || ::setgid(*start.uid) != 0 || ::setuid(*start.uid) != 0)) {
      ::_exit(3);
    }
    std::vector<char*> arguments = {const_cast<char*>(start.program.c_str())};
    for (const std::string& argument : start.arguments) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    std::vector<char*> environment;
    for (const std::string& variable : start.environment) {
      environment.push_back(const_cast<char*>(variable.c_str()));
    }
    environment.push_back(nullptr);
    ::execve(start.program.c_str(), arguments.data(), environment.data());
    ::_exit(4);
  }
  pid_t pid_ = -1;
  Fd out_;
  Fd in_;
  std::string buffer_;
};

class AttestationTest : public ::testing::Test {
 protected:
  // The program lies where every user can run it.
  AttestationTest() : program_(folder_.File("workload_caller")) {
    std::filesystem::copy_file(COUNTERSIGN_BIN_DIR "/../tests/workload_caller", program_);
    ::chmod(program_.c_str(), 0755);
    ::chmod(folder_.path().c_str(), 0755);
    agent_.options().socket = folder_.File("agent.sock");
  }
  void Register(std::string_view selectors, std::string_view name = "web") {
    server_.Put(
        "Registration", name,
        RegistrationDocument(name, kWebId, Concat(R"("selectors":{"unix":{)", selectors, "}}")));
  }
  void StartAgent() {
    ASSERT_TRUE(agent_.Start().ok());
    ASSERT_TRUE(server_.WaitForAck(v1::Ack::APPLIED, server_.revision()));
  }
  Caller Call(std::vector<std::string> arguments, std::optional<uid_t> uid = std::nullopt,
              std::vector<std::string> environment = {}) {
    arguments.insert(arguments.begin(), agent_.options().socket);
    return Caller({program_, std::move(arguments), uid, std::move(environment), ""});
  }
  std::string OwnUid() const { return Concat(R"("uid":)", ::getuid()); }

  TempDir folder_;
  std::string program_;
  FakeServer server_;
  RunningAgent agent_{server_};
};

TEST_F(AttestationTest, AdmitsTheRegisteredUserAndNoOther) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root: only root can be somebody else";
  Register(Concat(R"("uid":)", kForeignUid));
  StartAgent();
  EXPECT_EQ(Call({"once"}, kForeignUid).Line(), kSvidLine);
  EXPECT_EQ(Call({"once"}, kForeignUid + 1).Line(), kDeniedLine);
  EXPECT_EQ(Call({"once"}).Line(), kDeniedLine);
}

TEST_F(AttestationTest, AdmitsByGroupOnly) {
  Register(Concat(R"("gid":)", ::getgid()));
  StartAgent();
  EXPECT_EQ(Call({"once"}).Line(), kSvidLine);
  Register(Concat(R"("gid":)", ::getgid() + 1));
  ASSERT_TRUE(server_.WaitForAck(v1::Ack::APPLIED, server_.revision()));
  EXPECT_EQ(Call({"once"}).Line(), kDeniedLine);
}

TEST_F(AttestationTest, AdmitsByPathAndByDigest) {
  StatusOr<std::string> bytes = ReadFile(program_, size_t{1} << 30);
  ASSERT_TRUE(bytes.ok());
  std::string digest = HexLower(Sha256(*bytes));
  Register(Concat(OwnUid(), R"(,"path":")", program_, R"(","sha256":")", digest, "\""));
  StartAgent();
  EXPECT_EQ(Call({"once"}).Line(), kSvidLine);
}

TEST_F(AttestationTest, RefusesAnotherPathAndAnotherDigest) {
  Register(Concat(OwnUid(), R"(,"path":")", program_, ".other\""), "path");
  Register(Concat(OwnUid(), R"(,"sha256":")", std::string(64, 'a'), "\""), "digest");
  StartAgent();
  EXPECT_EQ(Call({"once"}).Line(), kDeniedLine);
}

TEST_F(AttestationTest, RefusesAProgramWhoseFileIsGone) {
  Register(Concat(OwnUid(), R"(,"path":")", program_, "\""));
  StartAgent();
  Caller caller = Call({"late"});
  ASSERT_EQ(caller.Line(), "ready");
  std::filesystem::remove(program_);
  caller.Go();
  EXPECT_EQ(caller.Line(), kDeniedLine);
}

TEST_F(AttestationTest, RefusesAProgramThatOnlyItsOwnMountsShowAtThePath) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root: mounts in a namespace of its own";
  Register(Concat(OwnUid(), R"(,"path":")", program_, "\""));
  StartAgent();
  std::string other = folder_.File("other");
  std::filesystem::copy_file(program_, other);
  ::chmod(other.c_str(), 0755);
  Caller caller({program_, {agent_.options().socket, "once"}, std::nullopt, {}, other});
  EXPECT_EQ(caller.Line(), kDeniedLine);
}

TEST_F(AttestationTest, SaysUnavailableWhereAnExecutableIsOverTheLimit) {
  Register(Concat(OwnUid(), R"(,"sha256":")", std::string(64, 'a'), "\""));
  agent_.options().limits.exe_bytes_max = 100;
  StartAgent();
  EXPECT_EQ(Call({"once"}).Line(), kUnavailableLine);
}

TEST_F(AttestationTest, EndsTheStreamWhenTheProcessThatConnectedEnds) {
  Register(OwnUid());
  StartAgent();
  Caller caller = Call({"orphan"});
  EXPECT_EQ(caller.Line(), kSvidLine);
  caller.Go();
  EXPECT_EQ(caller.Line(), kDeniedLine);  // Of the stream.
  EXPECT_EQ(caller.Line(), kDeniedLine);  // Of a new call on the same connection.
}

TEST_F(AttestationTest, RefusesAConnectionWhoseProcessBecameAnotherProgram) {
  Register(OwnUid());
  StartAgent();
  Caller caller = Call({"swap", "/bin/sleep", "30"});
  EXPECT_EQ(caller.Line(), kSvidLine);
  caller.Go();
  // Nothing is told to the stream until something would be sent: then it is looked at again.
  for (int ttl = 30; ttl < 60; ++ttl) {
    server_.Put("Registration", "web",
                RegistrationDocument("web", kWebId,
                                     Concat(R"("selectors":{"unix":{)", OwnUid(),
                                            R"(}},"svid":{"ttl":")", ttl, "m\"}")));
    std::string line = caller.Line();
    if (line != kSvidLine) {  // Until exec has happened, the renewed SVID is due to it.
      EXPECT_EQ(line, kDeniedLine);
      break;
    }
  }
  EXPECT_EQ(caller.Line(), kDeniedLine);
}

TEST_F(AttestationTest, DoesNotGiveAProgramsIdentityToWhoeverSharesItsConnection) {
  Register(Concat(OwnUid(), R"(,"path":")", program_, "\""));
  StartAgent();
  Caller caller = Call({"shared"});
  EXPECT_EQ(caller.Line(), kUnavailableLine);
}

TEST_F(AttestationTest, BelievesTheEnvironmentOnlyWithDemoSelectors) {
  Register(R"("uid":64999)");
  agent_.options().selector_mode = SelectorMode::kDemo;
  StartAgent();
  EXPECT_EQ(Call({"once"}, std::nullopt, {"COUNTERSIGN_DEMO_WORKLOAD=web"}).Line(), kSvidLine);
  EXPECT_EQ(Call({"once"}, std::nullopt, {"COUNTERSIGN_DEMO_WORKLOAD=we"}).Line(), kDeniedLine);
  EXPECT_EQ(Call({"once"}).Line(), kDeniedLine);
  ASSERT_EQ(::geteuid(), 0U) << "needs root: only root can be somebody else";
  EXPECT_EQ(Call({"once"}, kForeignUid, {"COUNTERSIGN_DEMO_WORKLOAD=web"}).Line(), kDeniedLine);
  agent_.Stop();
  agent_.options().selector_mode = SelectorMode::kUnix;
  StartAgent();
  EXPECT_EQ(Call({"once"}, std::nullopt, {"COUNTERSIGN_DEMO_WORKLOAD=web"}).Line(), kDeniedLine);
}

}  // namespace
}  // namespace countersign::agent
