// The whole way of a record: recorder, ring, handover, collector, log; with processes that die.
#include "audit/log/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>
#include <thread>

#include "tests/audit/collector_fixture.h"

namespace countersign::audit {
namespace {

TEST_F(CollectorTest, CarriesRecordsFromAWorkerIntoTheSignedLog) {
  auto collector = StartCollector();
  ASSERT_NE(collector, nullptr);
  auto recorder = MakeRecorder();
  auto handover = HandOver(*recorder);
  for (uint64_t i = 0; i < 700; ++i) {
    ASSERT_TRUE(RecordNumbered(*recorder, i));
  }
  EXPECT_TRUE(Eventually([&] { return collector->stats().records >= 702; }));
  EXPECT_TRUE(Eventually([&] { return handover->connected(); }));
  collector.reset();
  EXPECT_EQ(DecisionNumbers(), UpTo(700));
  std::vector<ParsedRecord> records = Records();
  EXPECT_EQ(std::get<EventRecord>(records.front().value()).kind, EventKind::kStart);
  EXPECT_EQ(std::get<EventRecord>(records[1].value()).kind, EventKind::kRingOpened);
  EXPECT_EQ(std::get<EventRecord>(records.back().value()).kind, EventKind::kStop);
}

TEST_F(CollectorTest, NothingRecordedWhileTheAgentIsAwayIsLost) {
  auto recorder = MakeRecorder();
  auto handover = HandOver(*recorder);
  uint64_t number = 0;
  for (int life = 0; life < 4; ++life) {
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(RecordNumbered(*recorder, number++));
    }
    auto collector = StartCollector();
    ASSERT_NE(collector, nullptr);
    ASSERT_TRUE(Eventually([&] { return collector->stats().records >= 102; }));
    ASSERT_TRUE(RecordNumbered(*recorder, number++));
    ASSERT_TRUE(Eventually([&] { return collector->stats().records >= 103; }));
  }
  EXPECT_EQ(DecisionNumbers(), UpTo(number));
}

TEST_F(CollectorTest, AKilledProxysRingIsDrained) {
  auto collector = StartCollector();
  ASSERT_NE(collector, nullptr);
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto recorder = MakeRecorder();
    for (uint64_t i = 0; i < 500; ++i) {
      RecordNumbered(*recorder, i);
    }
    auto handover = HandOver(*recorder);
    Eventually([&] { return handover->connected(); });
    RecordNumbered(*recorder, 500);
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(Eventually([&] { return collector->stats().records >= 502; }));
  EXPECT_TRUE(Eventually([&] { return collector->stats().rings == 0; })) << "the ring is let go";
  collector.reset();
  EXPECT_EQ(DecisionNumbers(), UpTo(501));
}

TEST_F(CollectorTest, AnAgentKilledAtSeededPointsLosesAndRepeatsNothing) {
  std::mt19937 random(3);
  auto recorder = MakeRecorder();
  uint64_t number = 0;
  for (int life = 0; life < 8; ++life) {
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto collector = AuditCollector::Start(Options(), Clock::System());
      if (!collector.ok()) {
        ::_exit(3);
      }
      for (;;) {
        ::pause();
      }
    }
    auto handover = HandOver(*recorder);
    ASSERT_TRUE(Eventually([&] { return handover->connected(); })) << handover->last_error();
    uint64_t kill_after = random() % 3000;
    for (uint64_t sent = 0; sent < kill_after;) {
      if (RecordNumbered(*recorder, number)) {
        ++number;
        ++sent;
      } else {
        std::this_thread::yield();
      }
    }
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the agent refused to start";
  }
  auto collector = StartCollector();
  ASSERT_NE(collector, nullptr);
  auto handover = HandOver(*recorder);
  ASSERT_TRUE(Eventually([&] { return handover->connected(); }));
  ASSERT_TRUE(RecordNumbered(*recorder, number++));
  ASSERT_TRUE(Eventually([&] { return DecisionNumbers().size() >= number; }));
  collector.reset();
  EXPECT_EQ(DecisionNumbers(), UpTo(number));
}

TEST_F(CollectorTest, ARefusedProcessIsToldWhy) {
  AuditCollector::Options options = Options();
  options.workloads_of = [](const HandoverPeer& peer) -> StatusOr<std::vector<std::string>> {
    return PermissionDenied("uid ", peer.uid, " holds no registration");
  };
  auto collector = AuditCollector::Start(options, Clock::System());
  ASSERT_TRUE(collector.ok());
  auto recorder = MakeRecorder();
  auto handover = HandOver(*recorder);
  std::string expected = Concat("uid ", ::getuid(), " holds no registration");
  EXPECT_TRUE(Eventually([&] {
    return handover->last_error().find(expected) != std::string::npos;
  })) << handover->last_error();
  EXPECT_FALSE(handover->connected());
  EXPECT_EQ((*collector)->stats().rings, 0U);
}

TEST_F(CollectorTest, ABrokenRingIsRejectedInTheLogAndTheOthersGoOn) {
  auto collector = StartCollector();
  ASSERT_NE(collector, nullptr);
  auto good = MakeRecorder();
  auto good_handover = HandOver(*good);
  auto writer = RingWriter::Create({.name = "bad", .capacity_bytes = 1 << 16});
  ASSERT_TRUE(writer.ok());
  auto bad_handover = RingHandover::Start(HandoverOptions(), {{&*writer, "bad"}});
  ASSERT_TRUE(bad_handover.ok());
  ASSERT_TRUE(Eventually([&] { return collector->stats().rings == 2; }));
  writer->Reserve(4)[0] = 'x';
  writer->Commit(4);  // A whole ring record that is no audit record.
  ASSERT_TRUE(Eventually([&] { return collector->stats().rejected == 1; }));
  uint64_t head = 1;
  ASSERT_EQ(::pwrite(writer->memory_fd(), &head, sizeof(head), 64), 8);
  uint64_t one = 1;
  ASSERT_EQ(::write(writer->wake_fd(), &one, sizeof(one)), 8);
  ASSERT_TRUE(Eventually([&] { return collector->stats().rejected >= 2; }));
  ASSERT_TRUE(Eventually([&] { return collector->stats().rings == 1; }));
  ASSERT_TRUE(RecordNumbered(*good, 0));
  ASSERT_TRUE(Eventually([&] { return DecisionNumbers().size() == 1; }));
}

TEST_F(CollectorTest, ASecondCollectorOnTheSameFolderIsRefused) {
  auto collector = StartCollector();
  ASSERT_NE(collector, nullptr);
  AuditCollector::Options options = Options();
  options.socket_path = dir_.File("other.sock");
  auto second = AuditCollector::Start(options, Clock::System());
  EXPECT_THAT(std::string(second.status().message()), testing::HasSubstr("in use by another"));
}

}  // namespace
}  // namespace countersign::audit
