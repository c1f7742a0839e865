#include "cli/svid/svid_commands.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "cli/svid/svid_files.h"
#include "spiffe/workload_api.grpc.pb.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_ca.h"

namespace countersign::cli {
namespace {

using identity::X509Svid;

// WorkloadApi answers every caller the same, and again whenever Push gives it another answer.
class WorkloadApi final : public SpiffeWorkloadAPI::Service {
 public:
  grpc::Status FetchX509SVID(grpc::ServerContext* context, const X509SVIDRequest* /*request*/,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override {
    auto [first, last] = context->client_metadata().equal_range("workload.spiffe.io");
    if (std::distance(first, last) != 1 || first->second != "true") {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no security header");
    }
    if (answer.svids().empty() && !refusal.ok()) {
      return refusal;
    }
    int written = -1;
    while (!context->IsCancelled()) {
      {
        std::lock_guard lock(mutex_);
        if (!answer.svids().empty() && written != pushed_) {
          written = pushed_;
          writer->Write(answer);
        }
      }
      ::poll(nullptr, 0, 1);
    }
    return grpc::Status::OK;
  }
  void Push(const X509SVID& only) {
    std::lock_guard lock(mutex_);
    answer.Clear();
    *answer.add_svids() = only;
    ++pushed_;
  }
  X509SVIDResponse answer;
  grpc::Status refusal;

 private:
  std::mutex mutex_;
  int pushed_ = 0;
};

X509SVID Message(const X509Svid& svid, const TestCa& ca) {
  X509SVID message;
  message.set_spiffe_id(svid.id().str());
  for (const std::string& der : svid.chain_der()) {
    message.mutable_x509_svid()->append(der);
  }
  message.set_x509_svid_key(svid.key_pkcs8_der());
  message.set_bundle(ca.root_der());
  return message;
}

class SvidCommandsTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + folder_.File("agent"), grpc::InsecureServerCredentials());
    builder.RegisterService(&api_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    *api_.answer.add_svids() = Message(*web_, ca_);
    *api_.answer.add_svids() = Message(*orders_, ca_);
    context_.agent_socket = "unix://" + folder_.File("agent");
  }
  void TearDown() override { server_->Shutdown(std::chrono::system_clock::now()); }

  int Run(std::vector<std::string> arguments) {
    CLI::App app;
    AddSvidCommands(app, context_);
    std::reverse(arguments.begin(), arguments.end());
    try {
      app.parse(arguments);
    } catch (const CLI::ParseError& error) {
      return kError;
    }
    return context_.exit_code;
  }

  TestCa ca_;
  std::shared_ptr<const X509Svid> web_ = ca_.Svid("/web");
  std::shared_ptr<const X509Svid> orders_ = ca_.Svid("/orders");
  TempDir folder_;
  WorkloadApi api_;
  std::unique_ptr<grpc::Server> server_;
  std::ostringstream out_;
  std::ostringstream err_;
  Context context_{out_, err_, std::cin, kGood, "", "", ""};
};

TEST_F(SvidCommandsTest, FetchShowsEachIdentity) {
  EXPECT_EQ(Run({"svid", "fetch"}), kGood) << err_.str();
  EXPECT_NE(out_.str().find("spiffe://shop.example/web"), std::string::npos);
  EXPECT_NE(out_.str().find(orders_->serial()), std::string::npos);
}

TEST_F(SvidCommandsTest, FetchAsJsonHoldsNoKey) {
  EXPECT_EQ(Run({"svid", "fetch", "-o", "json"}), kGood) << err_.str();
  nlohmann::json list = nlohmann::json::parse(out_.str());
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["spiffeId"], "spiffe://shop.example/web");
  EXPECT_EQ(list[0]["chainPem"], web_->ChainPem());
  EXPECT_EQ(out_.str().find("PRIVATE"), std::string::npos);
}

TEST_F(SvidCommandsTest, FailuresHaveTheirExitCodes) {
  api_.answer.Clear();
  api_.refusal = grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  EXPECT_EQ(Run({"svid", "fetch"}), kFindings);
  EXPECT_NE(err_.str().find("no registration"), std::string::npos) << err_.str();
  api_.refusal = grpc::Status::OK;  // Silence.
  EXPECT_EQ(Run({"svid", "fetch", "--timeout", "50ms"}), kGaveUp);
  context_.agent_socket = folder_.File("nobody");
  EXPECT_EQ(Run({"svid", "fetch"}), kError);
  EXPECT_NE(err_.str().find("does not answer"), std::string::npos) << err_.str();
  context_.agent_socket = "tcp://127.0.0.1:8081";
  EXPECT_EQ(Run({"svid", "fetch"}), kError);
  EXPECT_NE(err_.str().find("no Unix socket"), std::string::npos) << err_.str();
  EXPECT_EQ(Run({"svid", "fetch", "-o", "wide"}), kError);
}

TEST_F(SvidCommandsTest, AnIdentityThatDoesNotHoldIsRefused) {
  api_.answer.mutable_svids(1)->set_x509_svid_key(web_->key_pkcs8_der());
  EXPECT_EQ(Run({"svid", "fetch"}), kError);
  EXPECT_EQ(out_.str(), "");
  api_.answer.mutable_svids(1)->set_x509_svid_key(orders_->key_pkcs8_der());
  api_.answer.mutable_svids(1)->set_spiffe_id("spiffe://shop.example/billing");
  EXPECT_EQ(Run({"svid", "fetch"}), kError);
  EXPECT_EQ(out_.str(), "");
}

TEST_F(SvidCommandsTest, WriteLeavesThreeFilesWithTheKeyForItsOwnerOnly) {
  EXPECT_EQ(Run({"svid", "write", "--dir", folder_.path(), "--once"}), kGood) << err_.str();
  EXPECT_EQ(*ReadFile(folder_.File("svid.pem"), 100'000), web_->ChainPem());
  EXPECT_EQ(*ReadSecretFile(folder_.File("key.pem"), 100'000), web_->KeyPem());
  EXPECT_EQ(*ReadFile(folder_.File("bundle.pem"), 100'000), ca_.root_pem());
  struct stat facts = {};
  ASSERT_EQ(::stat(folder_.File("svid.pem").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0644u);
}

TEST_F(SvidCommandsTest, WriteTakesTheNamedIdentity) {
  EXPECT_EQ(Run({"svid", "write", "--dir", folder_.path(), "--once", "--id",
                 "spiffe://shop.example/orders"}),
            kGood)
      << err_.str();
  EXPECT_EQ(*ReadFile(folder_.File("svid.pem"), 100'000), orders_->ChainPem());
  EXPECT_EQ(Run({"svid", "write", "--dir", folder_.path(), "--once", "--id",
                 "spiffe://shop.example/billing"}),
            kError);
}

TEST_F(SvidCommandsTest, WriteSignalsTheProcessOfThePidFile) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGUSR1);
  // Blocked before the fork, so that the child cannot miss it.
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
  pid_t child = ::fork();
  if (child == 0) {
    int received = 0;
    ::_exit(::sigwait(&set, &received) == 0 && received == SIGUSR1 ? 7 : 1);
  }
  ASSERT_EQ(::pthread_sigmask(SIG_UNBLOCK, &set, nullptr), 0);
  ASSERT_TRUE(WriteFileAtomically(folder_.File("pid"), Concat(child, "\n"), 0644).ok());
  EXPECT_EQ(Run({"svid", "write", "--dir", folder_.path(), "--once", "--signal", "SIGUSR1",
                 "--pid-file", folder_.File("pid")}),
            kGood)
      << err_.str();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// Receiver is a process that reports each SIGUSR1 that it takes.
class Receiver {
 public:
  Receiver() {
    int ends[2];
    CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGUSR1);
    // Blocked before the fork, so that the child cannot miss the first one.
    CHECK(::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      int received = 0;
      while (::sigwait(&set, &received) == 0 && ::write(ends[1], "x", 1) == 1) {
      }
      ::_exit(1);
    }
    CHECK(::pthread_sigmask(SIG_UNBLOCK, &set, nullptr) == 0);
    ::close(ends[1]);
    reports_ = Fd(ends[0]);
  }
  ~Receiver() { End(); }
  void End() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
  }
  pid_t pid() const { return pid_; }
  // Takes is the number of signals that were taken since the last look, once there is one.
  int Takes() {
    pollfd wait = {reports_.get(), POLLIN, 0};
    char signals[16];
    return ::poll(&wait, 1, 20'000) == 1
               ? static_cast<int>(::read(reports_.get(), signals, sizeof(signals)))
               : 0;
  }

 private:
  pid_t pid_ = -1;
  Fd reports_;
};

TEST_F(SvidCommandsTest, WriteFollowsEachRotationWithOneSignal) {
  Receiver receiver;
  api_.Push(Message(*web_, ca_));
  auto program = ChildProcess::Start(
      {COUNTERSIGN_BIN_DIR "/countersign", "--agent-socket", context_.agent_socket, "svid", "write",
       "--dir", folder_.path(), "--signal", "USR1", "--pid", Concat(receiver.pid())},
      folder_.File("log"));
  ASSERT_NE(program, nullptr);
  auto written = [&](const X509Svid& svid) {
    EXPECT_EQ(*ReadFile(folder_.File("svid.pem"), 100'000), svid.ChainPem());
    EXPECT_EQ(*ReadSecretFile(folder_.File("key.pem"), 100'000), svid.KeyPem());
  };
  ASSERT_EQ(receiver.Takes(), 1) << program->Log();
  written(*web_);
  std::shared_ptr<const X509Svid> second = ca_.Svid("/web");
  api_.Push(Message(*second, ca_));
  ASSERT_EQ(receiver.Takes(), 1) << program->Log();
  written(*second);
  // The same again is no news; what comes next is told once.
  api_.Push(Message(*second, ca_));
  std::shared_ptr<const X509Svid> third = ca_.Svid("/web");
  api_.Push(Message(*third, ca_));
  ASSERT_EQ(receiver.Takes(), 1) << program->Log();
  written(*third);
  // A program that has ended does not end what renews its certificate.
  receiver.End();
  std::shared_ptr<const X509Svid> fourth = ca_.Svid("/web");
  api_.Push(Message(*fourth, ca_));
  EXPECT_TRUE(program->WaitForLog("error: signal process", std::chrono::seconds(20)));
  written(*fourth);
}

TEST_F(SvidCommandsTest, WatchPrintsATableForEachRotation) {
  api_.Push(Message(*web_, ca_));
  auto program = ChildProcess::Start({COUNTERSIGN_BIN_DIR "/countersign", "--agent-socket",
                                      context_.agent_socket, "svid", "watch"},
                                     folder_.File("log"));
  ASSERT_NE(program, nullptr);
  ASSERT_TRUE(program->WaitForLog(web_->serial(), std::chrono::seconds(20))) << program->Log();
  EXPECT_EQ(program->Log().find("SPIFFE ID"), program->Log().rfind("SPIFFE ID"));
  std::shared_ptr<const X509Svid> second = ca_.Svid("/web");
  api_.Push(Message(*second, ca_));
  ASSERT_TRUE(program->WaitForLog(second->serial(), std::chrono::seconds(20))) << program->Log();
  const std::string log = program->Log();
  const size_t table = log.rfind("SPIFFE ID");
  EXPECT_LT(log.find(web_->serial()), table);
  EXPECT_LT(table, log.find(second->serial()));
  EXPECT_EQ(log.find(web_->serial(), table), std::string::npos) << "the second table is of now";
}

TEST_F(SvidCommandsTest, WatchAsJsonPrintsOneListForEachRotationAndNoKey) {
  api_.Push(Message(*web_, ca_));
  auto program = ChildProcess::Start({COUNTERSIGN_BIN_DIR "/countersign", "--agent-socket",
                                      context_.agent_socket, "svid", "watch", "-o", "json"},
                                     folder_.File("log"));
  ASSERT_NE(program, nullptr);
  ASSERT_TRUE(program->WaitForLog("\n]\n", std::chrono::seconds(20))) << program->Log();
  const nlohmann::json first = nlohmann::json::parse(program->Log(), nullptr, false);
  ASSERT_EQ(first.size(), 1u) << program->Log();
  EXPECT_EQ(first[0]["serial"], web_->serial());
  const size_t length = program->Log().size();
  std::shared_ptr<const X509Svid> second = ca_.Svid("/web");
  api_.Push(Message(*second, ca_));
  ASSERT_TRUE(program->WaitForLog("\n]\n[", std::chrono::seconds(20))) << program->Log();
  ASSERT_TRUE(program->WaitForLog(second->serial(), std::chrono::seconds(20)));
  EXPECT_EQ(program->Log().find("PRIVATE"), std::string::npos);
  EXPECT_EQ(program->Log().find(web_->serial(), length), std::string::npos);
}

TEST(SvidFilesTest, NobodyElseIsEverSignalled) {
  TempDir folder;
  std::string path = folder.File("pid");
  for (const char* text : {"", "0", "1", "-1", "-4711", "x", "12 13", "99999999999"}) {
    ASSERT_TRUE(WriteFileAtomically(path, text, 0644).ok());
    EXPECT_FALSE(svid::Tell({SIGHUP, path, 0}).ok()) << text;
  }
  EXPECT_TRUE(svid::Tell({SIGHUP, "", 0}).ok());  // Nobody was named.
  EXPECT_FALSE(svid::Tell({SIGHUP, "", 1}).ok());
  EXPECT_FALSE(svid::Tell({SIGHUP, folder.File("none"), 0}).ok());
}

TEST(SvidFilesTest, SignalsHaveNames) {
  EXPECT_EQ(*svid::ParseSignal("HUP"), SIGHUP);
  EXPECT_EQ(*svid::ParseSignal("SIGUSR2"), SIGUSR2);
  for (const char* name : {"", "SIG", "hup", "KILL", "9", "SIGSIGHUP"}) {
    EXPECT_FALSE(svid::ParseSignal(name).ok()) << name;
  }
}

TEST(ParseEndpointTest, AUnixSocketIsNamedByPathOrUri) {
  EXPECT_EQ(*svid::ParseEndpoint("/run/a.sock"), "/run/a.sock");
  EXPECT_EQ(*svid::ParseEndpoint("unix:///run/a.sock"), "/run/a.sock");
  EXPECT_EQ(*svid::ParseEndpoint("unix:/run/a.sock"), "/run/a.sock");
  for (const char* text : {"", "unix://", "unix://host/a", "tcp://127.0.0.1:1", "a.sock"}) {
    EXPECT_FALSE(svid::ParseEndpoint(text).ok()) << text;
  }
}

}  // namespace
}  // namespace countersign::cli
