// The whole way of a record: recorder, ring, handover, collector, log; with processes that die.
#include "audit/log/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "audit/log/log_entry.h"
#include "audit/log/tile_files.h"
#include "audit/record/recorder.h"
#include "audit/record/ring_handover.h"
#include "tests/audit/sample_records.h"
#include "tests/support/temp_dir.h"

namespace countersign::audit {
namespace {

using Milliseconds = std::chrono::milliseconds;

bool Eventually(const std::function<bool()>& condition) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

class CollectorTest : public testing::Test {
 protected:
  AuditCollector::Options Options() const {
    return {.socket_path = dir_.File("audit.sock"),
            .socket_mode = 0600,
            .log_dir = dir_.File("audit"),
            .origin = "shop.example/agent/node-1",
            .node = "spiffe://shop.example/agent/node-1",
            .workloads_of =
                [](const HandoverPeer&) {
                  return std::vector<std::string>{"spiffe://shop.example/ns/prod/sa/orders"};
                },
            .commit_interval = Milliseconds(2)};
  }
  std::unique_ptr<AuditCollector> StartCollector() const {
    auto collector = AuditCollector::Start(Options(), Clock::System());
    EXPECT_TRUE(collector.ok()) << collector.status();
    return collector.ok() ? *std::move(collector) : nullptr;
  }
  RingHandover::Options HandoverOptions() const {
    RingHandover::Options options;
    options.socket_path = dir_.File("audit.sock");
    options.retry_first = Milliseconds(5);
    options.retry_max = Milliseconds(20);
    return options;
  }
  std::unique_ptr<RingHandover> HandOver(const Recorder& recorder) const {
    auto handover = RingHandover::Start(HandoverOptions(), {{&recorder.ring(), recorder.name()}});
    CHECK(handover.ok());
    return *std::move(handover);
  }
  static std::unique_ptr<Recorder> MakeRecorder() {
    auto recorder = Recorder::Create({.name = "w0", .ring_bytes = 1 << 20}, Clock::System());
    CHECK(recorder.ok());
    return *std::move(recorder);
  }
  // Records reads every record of the log, in order.
  std::vector<ParsedRecord> Records() const {
    std::vector<ParsedRecord> records;
    for (uint64_t n = 0;; ++n) {
      StatusOr<std::string> bundle = ReadTile(dir_.File("audit"), {kEntriesLevel, n});
      if (!bundle.ok()) {
        return records;
      }
      for (std::string_view bytes : SplitBundle(*bundle, kTileWidth)) {
        StatusOr<LogEntry> entry = ParseEntry(bytes);
        CHECK(entry.ok());
        records.push_back(*ParsedRecord::Parse(entry->record));
      }
    }
  }
  // DecisionNumbers gives the connection number of each decision, which the tests count up.
  std::vector<uint64_t> DecisionNumbers() const {
    std::vector<uint64_t> numbers;
    for (const ParsedRecord& record : Records()) {
      if (record.decision() != nullptr) {
        numbers.push_back(record.decision()->connection_id);
      }
    }
    return numbers;
  }

  TempDir dir_;
};

bool RecordNumbered(Recorder& recorder, uint64_t number) {
  SampleDecision sample;
  sample.record.id = recorder.NewId();
  sample.record.connection_id = number;
  return static_cast<bool>(recorder.RecordDecision(sample.record, Durability::kStrict));
}

std::vector<uint64_t> UpTo(uint64_t count) {
  std::vector<uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

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

// HostileProxyTest hands over a ring that a test writes what it likes into.
class HostileProxyTest : public CollectorTest {
 protected:
  static constexpr const char* kOrders = "spiffe://shop.example/ns/prod/sa/orders";
  static constexpr const char* kBilling = "spiffe://shop.example/ns/prod/sa/billing";

  void SetUp() override {
    auto writer = RingWriter::Create({.name = "hostile", .capacity_bytes = 1 << 20});
    ASSERT_TRUE(writer.ok());
    writer_.emplace(*std::move(writer));
  }
  void Begin() {
    AuditCollector::Options options = Options();
    options.workloads_of = [this](const HandoverPeer&) -> StatusOr<std::vector<std::string>> {
      std::lock_guard lock(mutex_);
      return workloads_;
    };
    auto collector = AuditCollector::Start(options, Clock::System());
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
  }
  void HandOverRing() {
    auto handover = RingHandover::Start(HandoverOptions(), {{&*writer_, "hostile"}});
    ASSERT_TRUE(handover.ok());
    handover_ = *std::move(handover);
  }
  void Register(std::vector<std::string> workloads) {
    std::lock_guard lock(mutex_);
    workloads_ = std::move(workloads);
  }
  void Put(std::string_view record) {
    std::span<char> room;
    ASSERT_TRUE(Eventually([&] { return !(room = writer_->Reserve(record.size())).empty(); }));
    std::copy(record.begin(), record.end(), room.begin());
    writer_->Commit(record.size());
  }
  static std::string Decision(const std::function<void(DecisionRecord&)>& change) {
    SampleDecision sample;
    change(sample.record);
    return EncodeToString(sample.record);
  }
  // What the alarm records of the log say.
  std::vector<std::string> Alarms() const {
    std::vector<std::string> texts;
    for (const ParsedRecord& record : Records()) {
      const auto* event = std::get_if<EventRecord>(&record.value());
      if (event != nullptr && event->kind == EventKind::kRejected) {
        texts.emplace_back(event->text);
      }
    }
    return texts;
  }

  std::mutex mutex_;
  std::vector<std::string> workloads_ = {kOrders};  // Guarded by mutex_.
  std::optional<RingWriter> writer_;
  std::unique_ptr<AuditCollector> collector_;
  std::unique_ptr<RingHandover> handover_;
};

TEST_F(HostileProxyTest, ARecordInTheNameOfAnotherWorkloadIsAnAlarmAndIsNotFiled) {
  Begin();
  HandOverRing();
  Put(Decision([](DecisionRecord& r) { r.connection_id = 1; }));  // Of orders, to orders.
  Put(Decision([](DecisionRecord& r) {
    r.callee = kBilling;
    r.connection_id = 2;
  }));
  Put(Decision([](DecisionRecord& r) {  // Outbound: billing's application goes out.
    r.subject = SubjectKind::kLocalCaller;
    r.caller = kBilling;
    r.callee = kOrders;
    r.connection_id = 3;
  }));
  Put(Decision([](DecisionRecord& r) {  // Outbound: orders' own goes out, to billing.
    r.subject = SubjectKind::kLocalCaller;
    r.caller = kOrders;
    r.callee = kBilling;
    r.connection_id = 4;
  }));
  Put(Decision([](DecisionRecord& r) {
    r.node = "spiffe://shop.example/agent/node-2";
    r.connection_id = 5;
  }));
  Put(Decision([](DecisionRecord& r) { r.connection_id = 6; }));
  ASSERT_TRUE(Eventually([&] { return DecisionNumbers().size() == 3; }));
  EXPECT_THAT(DecisionNumbers(), testing::ElementsAre(1, 4, 6));
  EXPECT_TRUE(Eventually([&] { return collector_->stats().rejected == 3; }));
  std::vector<std::string> alarms = Alarms();
  ASSERT_EQ(alarms.size(), 3U);
  std::string owner = Concat("ring hostile of pid ", ::getpid(), " uid ", ::getuid());
  for (size_t i : {0, 1}) {
    EXPECT_THAT(alarms[i], testing::AllOf(testing::HasSubstr(owner), testing::HasSubstr(kBilling),
                                          testing::HasSubstr(DecisionIdText(SampleId(1)))));
  }
  EXPECT_THAT(alarms[2], testing::HasSubstr("agent/node-2"));
  EXPECT_TRUE(handover_->connected()) << "its own records are still taken";
}

TEST_F(HostileProxyTest, TheAgentsOwnWordsAreNotAProxysToWrite) {
  Begin();
  HandOverRing();
  auto event = [](EventKind kind, std::string_view program, std::string_view text) {
    return EncodeToString(EventRecord{kind, 1, program, "", text, {}});
  };
  Put(event(EventKind::kStop, "countersign-agent", ""));
  Put(event(EventKind::kRecovery, "countersign-proxy", ""));
  Put(event(EventKind::kRingOpened, "countersign-proxy", ""));
  Put(event(EventKind::kRejected, "countersign-proxy", ""));
  Put(event(EventKind::kPolicyLoaded, "countersign-proxy", kBilling));
  Put(event(EventKind::kPolicyLoaded, "countersign-proxy", kOrders));
  ASSERT_TRUE(Eventually([&] { return collector_->stats().rejected == 5; }));
  ASSERT_TRUE(Eventually([&] { return Alarms().size() == 5; }));
  collector_.reset();
  size_t loaded = 0;
  for (const ParsedRecord& record : Records()) {
    const auto* found = std::get_if<EventRecord>(&record.value());
    loaded += found != nullptr && found->kind == EventKind::kPolicyLoaded ? 1 : 0;
  }
  EXPECT_EQ(loaded, 1U);
}

TEST_F(HostileProxyTest, AChangedRegistrationIsAskedForAndWhatWasWrittenUnderTheOldOneIsTaken) {
  Begin();
  HandOverRing();
  Put(Decision([](DecisionRecord& r) { r.connection_id = 1; }));
  ASSERT_TRUE(Eventually([&] { return DecisionNumbers().size() == 1; }));
  Register({kBilling});
  Put(Decision([](DecisionRecord& r) {
    r.callee = kBilling;
    r.connection_id = 2;
  }));
  Put(Decision([](DecisionRecord& r) { r.connection_id = 3; }));
  ASSERT_TRUE(Eventually([&] { return DecisionNumbers().size() == 3; }));
  EXPECT_EQ(collector_->stats().rejected, 0U);
}

TEST_F(HostileProxyTest, AFloodOfBadRecordsFillsNeitherTheLogNorTheAgentsOwn) {
  constexpr uint64_t kFlood = 10'000;
  for (uint64_t i = 0; i < kFlood; ++i) {
    Put("forged");
  }
  testing::internal::CaptureStderr();
  Begin();
  HandOverRing();
  EXPECT_TRUE(Eventually([&] { return collector_->stats().rejected == kFlood; }));
  uint64_t commits = collector_->stats().commits;
  collector_.reset();
  std::string said = testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (size_t at = 0; (at = said.find("audit record rejected", at)) != std::string::npos; ++at) {
    ++lines;
  }
  EXPECT_GT(lines, 0U);
  EXPECT_LE(lines, CollectorLimits::kLinesLoggedPerUidMinuteMax);
  uint64_t told = 0;
  std::vector<std::string> alarms = Alarms();
  for (const std::string& alarm : alarms) {
    size_t more = alarm.find(" more records like these");
    told +=
        more == std::string::npos ? 1 : std::stoull(alarm.substr(alarm.rfind(' ', more - 1) + 1));
  }
  EXPECT_EQ(told, kFlood) << "each refused record is counted in the signed log";
  EXPECT_LE(alarms.size(), (CollectorLimits::kRefusalsTold + 1) * commits);
  EXPECT_LT(alarms.size(), kFlood / 10);
}

TEST_F(HostileProxyTest, ARingWithoutAnIdIsRefused) {
  Begin();
  RingId zeros = {};
  ASSERT_EQ(::pwrite(writer_->memory_fd(), zeros.data(), zeros.size(), 24), 16);
  HandOverRing();
  EXPECT_TRUE(Eventually([&] {
    return handover_->last_error().find("a ring's id is random") != std::string::npos;
  })) << handover_->last_error();
  EXPECT_EQ(collector_->stats().rings, 0U);
}

TEST_F(HostileProxyTest, ReconnectingForEverFillsTheAgentsLogNoMore) {
  testing::internal::CaptureStderr();
  AuditCollector::Options options = Options();
  std::atomic<size_t> asked = 0;
  options.workloads_of = [&asked](const HandoverPeer&) -> StatusOr<std::vector<std::string>> {
    ++asked;
    return PermissionDenied("not you");
  };
  auto collector = AuditCollector::Start(options, Clock::System());
  ASSERT_TRUE(collector.ok());
  for (size_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(ConnectUnix(options.socket_path).ok());
  }
  EXPECT_TRUE(Eventually([&] { return asked == 100; }));
  collector->reset();
  std::string said = testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (size_t at = 0; (at = said.find("audit rings refused", at)) != std::string::npos; ++at) {
    ++lines;
  }
  EXPECT_EQ(lines, CollectorLimits::kLinesLoggedPerUidMinuteMax);
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
