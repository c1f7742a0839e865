#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "tests/sds/agent/running_agent.h"

namespace countersign::agent {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kWebId = "spiffe://shop.example/ns/prod/sa/web";

std::string TextOf(const Status& status) { return std::string(Message(status)); }

bool Applied(const FakeServer& server) {
  return server.WaitForAck(v1::Ack::APPLIED, server.revision());
}

// The first SVID that the agent gives this process; empty if the stream ended without one.
std::string FirstSvid(const RunningAgent& agent) {
  SvidStream stream(agent);
  return stream.Next() ? stream.response.svids(0).x509_svid() : "";
}

TEST(AgentTest, NeedsATokenForItsFirstStart) {
  FakeServer server;
  RunningAgent agent(server);
  agent.options().join_token.clear();
  Status status = agent.Start();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(TextOf(status), HasSubstr("token generate"));
}

TEST(AgentTest, RestartsWithoutATokenAndResumesByRevision) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  ASSERT_NE(FirstSvid(agent), "");
  agent.Stop();
  ASSERT_TRUE(server.WaitForStreams(0));

  agent.options().join_token.clear();
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForStreams(1));
  EXPECT_EQ(server.last_hello_had(), server.revision());
  EXPECT_NE(FirstSvid(agent), "");
  EXPECT_EQ(server.signed_count("web"), 1);  // The stored SVID is good for long.
}

TEST(AgentTest, ServesWhatIsStoredWhileTheServerIsAway) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  std::string svid = FirstSvid(agent);
  ASSERT_NE(svid, "");
  agent.Stop();
  server.Stop();

  ASSERT_TRUE(agent.Start().ok());
  EXPECT_EQ(FirstSvid(agent), svid);

  // And goes on by itself when the server is back.
  server.Start();
  ASSERT_TRUE(server.WaitForStreams(1));
  server.Put("Registration", "late", RegistrationDocument("late", kWebId));
  EXPECT_TRUE(Applied(server));
}

TEST(AgentTest, ReconnectsAfterTheServerWentAway) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForStreams(1));
  server.Stop();
  server.Start();
  ASSERT_TRUE(server.WaitForStreams(1));
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  EXPECT_TRUE(Applied(server));
}

TEST(AgentTest, KeepsItsStateFromAServerThatWentBackAndDoesNotPressIt) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  server.Put("Registration", "web",
             RegistrationDocument("web", kWebId, R"("svid":{"hint":"new"})"));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  SvidStream stream(agent);
  ASSERT_TRUE(stream.Next());
  ASSERT_TRUE(server.WaitForStreams(1));
  Revision newest = server.revision();
  auto began = std::chrono::steady_clock::now();
  int hellos = server.hellos();
  server.GoBackTo(1);
  server.Put("Registration", "web",
             RegistrationDocument("web", kWebId, R"("svid":{"hint":"old"})"));
  while (server.hellos() < hellos + 3 &&
         std::chrono::steady_clock::now() - began < std::chrono::seconds(10)) {
    std::this_thread::yield();
  }
  // It asked again, whole, each time after a longer wait.
  EXPECT_EQ(server.hellos(), hellos + 3);
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(100 + 200 + 400));
  SvidStream again(agent);
  ASSERT_TRUE(again.Next());
  EXPECT_EQ(again.response.svids(0).hint(), "new");
  server.GoBackTo(newest.n);
  server.Put("Registration", "web",
             RegistrationDocument("web", kWebId, R"("svid":{"hint":"newest"})"));
  EXPECT_TRUE(Applied(server));
}

TEST(AgentTest, KeepsKeysFromOthers) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  ASSERT_NE(FirstSvid(agent), "");
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(agent.data_dir())) {
    struct stat file = {};
    ASSERT_EQ(::stat(entry.path().c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 077, 0u) << entry.path();
    files += entry.is_regular_file() ? 1 : 0;
  }
  EXPECT_GE(files, 4u);  // Identity, bundle, state, one SVID.
}

TEST(AgentTest, RefusesAServerThatThePinDoesNotKnow) {
  FakeServer server;
  RunningAgent agent(server.address(), std::string(64, 'a'));
  Status status = agent.Start();
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
  EXPECT_THAT(TextOf(status), HasSubstr("the pin is"));
}

TEST(AgentTest, RefusesAServerThatHasThePinnedBundleButNotItsKeys) {
  FakeServer real;
  FakeServer thief;
  thief.PretendBundle(real.bundle());
  RunningAgent agent(thief.address(), real.pin());
  // The handshake fails, which looks like a server that is away: the agent tries on.
  StatusOr<Joined> joined =
      Join({agent.options().trust_domain, thief.address(), real.pin(), "one-good-token"},
           Clock::System());
  EXPECT_EQ(joined.status().code(), StatusCode::kUnavailable);
}

TEST(AgentTest, RefusesAUsedToken) {
  FakeServer server;
  RunningAgent first(server);
  ASSERT_TRUE(first.Start().ok());
  RunningAgent second(server);
  Status status = second.Start();
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
}

TEST(AgentTest, RefusesAFolderInUse) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  RunningAgent second(server);
  second.options().data_dir = agent.data_dir();
  Status status = second.Start();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(TextOf(status), HasSubstr("in use by another process"));
}

TEST(AgentTest, RefusesAFolderOrAKeyThatOthersCanRead) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  agent.Stop();
  std::string svid = agent.data_dir() + "/agent.svid";
  ASSERT_EQ(::chmod(svid.c_str(), 0644), 0);
  agent.options().join_token.clear();
  EXPECT_THAT(TextOf(agent.Start()), HasSubstr(svid));
  ASSERT_EQ(::chmod(svid.c_str(), 0600), 0);
  ASSERT_EQ(::chmod(agent.data_dir().c_str(), 0755), 0);
  EXPECT_THAT(TextOf(agent.Start()), HasSubstr("chmod 700"));
  ASSERT_EQ(::chmod(agent.data_dir().c_str(), 0700), 0);
  EXPECT_TRUE(agent.Start().ok());
}

TEST(AgentTest, SaysThatANewTokenIsNeededWhenItsSvidExpired) {
  FakeServer server;
  server.SetAgentSvidTtl(std::chrono::seconds(1));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  agent.Stop();
  WallTime start = Clock::System().Now();
  FakeClock later(start + std::chrono::hours(2));
  agent.options().join_token.clear();
  StatusOr<std::unique_ptr<Agent>> started = Agent::Start(agent.options(), later, {});
  EXPECT_EQ(started.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      TextOf(started.status()),
      ::testing::AllOf(HasSubstr("expired at"), HasSubstr("token generate"),
                       HasSubstr("the clock of this node says"), HasSubstr("set the clock")));
}

TEST(AgentTest, DoesNotStartBeforeItsOwnSvidBegins) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  agent.Stop();
  FakeClock earlier(Clock::System().Now() - std::chrono::hours(2));
  StatusOr<std::unique_ptr<Agent>> started = Agent::Start(agent.options(), earlier, {});
  EXPECT_EQ(started.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(TextOf(started.status()), ::testing::AllOf(HasSubstr("the clock of this node says"),
                                                         HasSubstr("set the clock")));
}

// Whoever can put another socket in the place of the agent's can pass for the agent.
TEST(AgentTest, RefusesSocketsInAFolderThatOthersMayWrite) {
  FakeServer server;
  RunningAgent agent(server);
  TempDir folder;
  std::string open = folder.File("open");
  ASSERT_TRUE(MakeFolder(open, 0777).ok());
  std::string socket = agent.options().socket;
  agent.options().socket = open + "/agent.sock";
  EXPECT_EQ(agent.Start().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(TextOf(agent.Start()), HasSubstr("chmod go-w " + open));
  agent.options().socket = socket;
  agent.options().audit_socket = open + "/audit.sock";
  agent.options().audit_dir = folder.File("audit");
  EXPECT_THAT(TextOf(agent.Start()), HasSubstr("chmod go-w " + open));
  ASSERT_EQ(::chmod(open.c_str(), 0755), 0);
  EXPECT_TRUE(agent.Start().ok()) << "and no refusal spent the token";
}

TEST(AgentTest, RefusesASocketInASymbolicLinksFolder) {
  FakeServer server;
  RunningAgent agent(server);
  TempDir folder;
  std::string real = folder.File("real");
  ASSERT_TRUE(MakeFolder(real, 0755).ok());
  ASSERT_EQ(::symlink(real.c_str(), folder.File("link").c_str()), 0);
  agent.options().socket = folder.File("link") + "/agent.sock";
  EXPECT_THAT(TextOf(agent.Start()), HasSubstr("is a symbolic link"));
}

TEST(AgentTest, RenewsItsOwnSvidOverTheStream) {
  FakeServer server;
  server.SetAgentSvidTtl(std::chrono::seconds(3));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForSigned("", 2));
  server.Stop();
  server.Start();
  EXPECT_TRUE(server.WaitForStreams(1));  // It comes back under its new SVID.
}

TEST(AgentTest, AttestsAgainWithANewTokenAndForgetsItsWork) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  agent.Stop();
  ASSERT_TRUE(server.WaitForStreams(0));
  server.AllowToken("another-good-token");
  agent.options().join_token = "another-good-token";
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForStreams(1));
  EXPECT_EQ(server.last_hello_had(), Revision());  // What it had may have been another node's.
}

TEST(AgentTest, GoesOnAsItIsWhenANewTokenCannotBeUsedYet) {
  FakeServer server;
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  agent.Stop();
  server.Stop();
  agent.options().join_token = "another-good-token";
  EXPECT_TRUE(agent.Start().ok());
}

TEST(AgentTest, SetsADamagedStateAsideAndAsksForEverything) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  agent.Stop();
  ASSERT_TRUE(server.WaitForStreams(0));
  std::string path = agent.data_dir() + "/state";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(server.WaitForStreams(1));
  EXPECT_EQ(server.last_hello_had(), Revision());
  EXPECT_NE(FirstSvid(agent), "");
  EXPECT_TRUE(std::filesystem::exists(path + ".damaged"));
}

TEST(AgentTest, ForgetsTheSvidOfARegistrationThatIsGone) {
  FakeServer server;
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  ASSERT_NE(FirstSvid(agent), "");
  server.Remove("Registration", "web");
  ASSERT_TRUE(Applied(server));
  EXPECT_TRUE(std::filesystem::is_empty(agent.data_dir() + "/svids"));
}

TEST(AgentTest, KeepsGoodDocumentsBesideABrokenOne) {
  FakeServer server;
  server.Put("Registration", "broken", "{\"kind\": 7}");
  server.Put("Registration", "web", RegistrationDocument("web", kWebId));
  RunningAgent agent(server);
  ASSERT_TRUE(agent.Start().ok());
  ASSERT_TRUE(Applied(server));
  EXPECT_NE(FirstSvid(agent), "");
}

}  // namespace
}  // namespace countersign::agent
