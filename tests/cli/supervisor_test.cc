#include "cli/dev/supervisor.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli::dev {
namespace {

using namespace std::chrono_literals;

class SupervisorTest : public ::testing::Test {
 protected:
  ProcessSpec Sleeper() {
    return {.name = "sleeper",
            .command = {"sleep", "1000"},
            .account = {},
            .environment = {},
            .log_file = folder_.File("log")};
  }
  nlohmann::json State() {
    return nlohmann::json::parse(*ReadFile(folder_.File("state.json"), 10000));
  }
  TempDir folder_;
};

TEST_F(SupervisorTest, AKilledChildIsRestartedAndCounted) {
  StatusOr<Supervisor> supervisor = Supervisor::Create(folder_.File("state.json"), {});
  ASSERT_TRUE(supervisor.ok()) << supervisor.status();
  ASSERT_TRUE(supervisor->Add(Sleeper()).ok());
  pid_t first = State()["sleeper"]["pid"];
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  Status status = supervisor->WaitUntil([&] { return State()["sleeper"]["restarts"] == 1; }, 10s);
  ASSERT_TRUE(status.ok()) << status;
  pid_t second = State()["sleeper"]["pid"];
  EXPECT_NE(first, second);
  supervisor->StopAll();
  EXPECT_EQ(::kill(second, 0), -1);
}

TEST_F(SupervisorTest, WhatAKilledChildLeftRunningEndsWithIt) {
  StatusOr<Supervisor> supervisor = Supervisor::Create(folder_.File("state.json"), {});
  ASSERT_TRUE(supervisor.ok()) << supervisor.status();
  ProcessSpec spec = Sleeper();
  spec.command = {"sh", "-c", "sleep 1000 & echo $!; wait"};
  ASSERT_TRUE(supervisor->Add(spec).ok());
  auto log = [&] { return ReadFile(folder_.File("log"), 100).value_or(""); };
  ASSERT_TRUE(supervisor->WaitUntil([&] { return log().ends_with('\n'); }, 10s).ok());
  pid_t orphan = std::stoi(log());
  ASSERT_EQ(::kill(orphan, 0), 0);
  ASSERT_EQ(::kill(State()["sleeper"]["pid"].get<pid_t>(), SIGKILL), 0);
  Status status = supervisor->WaitUntil([&] { return ::kill(orphan, 0) != 0; }, 10s);
  EXPECT_TRUE(status.ok()) << status;
  supervisor->StopAll();
}

TEST_F(SupervisorTest, AProgramThatIsNotThereIsAnErrorAtOnce) {
  StatusOr<Supervisor> supervisor = Supervisor::Create(folder_.File("state.json"), {});
  ASSERT_TRUE(supervisor.ok());
  ProcessSpec spec = Sleeper();
  spec.command = {"no-such-program-here"};
  EXPECT_EQ(supervisor->Add(spec).code(), StatusCode::kNotFound);
}

TEST_F(SupervisorTest, AChildThatIgnoresSigtermIsKilled) {
  StatusOr<Supervisor> supervisor =
      Supervisor::Create(folder_.File("state.json"),
                         {.restart_first = 100ms, .restart_max = 1s, .steady = 10s, .stop = 1s});
  ASSERT_TRUE(supervisor.ok());
  ProcessSpec spec = Sleeper();
  spec.command = {"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"};
  ASSERT_TRUE(supervisor->Add(spec).ok());
  pid_t pid = State()["sleeper"]["pid"];
  ASSERT_TRUE(
      supervisor
          ->WaitUntil([&] { return ReadFile(folder_.File("log"), 100).value_or("") == "ready\n"; },
                      10s)
          .ok());
  supervisor->StopAll();
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(SupervisorTest, RunCollectsBothStreamsAndTheExitCode) {
  StatusOr<Outcome> outcome = dev::Run({"sh", "-c", "echo out; echo err >&2; exit 3"}, {});
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->out, "out\n");
  EXPECT_EQ(outcome->err, "err\n");
  EXPECT_EQ(outcome->exit_code, 3);
}

}  // namespace
}  // namespace countersign::cli::dev
