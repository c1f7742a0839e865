// What a proxy can do to a node's log, and to the other proxies' records in it.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <mutex>
#include <optional>
#include <thread>

#include "audit/log/node_log.h"
#include "tests/audit/collector_fixture.h"

namespace countersign::audit {
namespace {

// HostileProxyTest hands over a ring that a test writes what it likes into.
class HostileProxyTest : public CollectorTest {
 protected:
  static constexpr size_t kRingBytes = 1 << 20;
  static constexpr const char* kOrders = "spiffe://shop.example/ns/prod/sa/orders";
  static constexpr const char* kBilling = "spiffe://shop.example/ns/prod/sa/billing";

  void SetUp() override {
    auto writer = RingWriter::Create({.name = "hostile", .capacity_bytes = kRingBytes});
    ASSERT_TRUE(writer.ok());
    writer_.emplace(*std::move(writer));
  }
  void Begin() {
    AuditCollector::Options options = Options();
    options.socket_mode = mode_;
    options.workloads_of = [this](const HandoverPeer&) -> StatusOr<std::vector<std::string>> {
      if (refuse_all_) {
        return PermissionDenied("not you");
      }
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
  unsigned mode_ = 0600;                            // Of the socket.
  bool refuse_all_ = false;                         // Set before Begin.
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

TEST_F(HostileProxyTest, ADecisionThatNamesNoWorkloadOrNoNodeIsAnAlarmAndIsNotFiled) {
  Begin();
  HandOverRing();
  Put(Decision([](DecisionRecord& r) {
    r.callee = "";
    r.connection_id = 1;
  }));
  Put(Decision([](DecisionRecord& r) {
    r.node = "";
    r.connection_id = 2;
  }));
  Put(Decision([](DecisionRecord& r) {  // Outbound: whose application goes out?
    r.subject = SubjectKind::kLocalCaller;
    r.caller = "";
    r.callee = kOrders;
    r.connection_id = 3;
  }));
  Put(Decision([](DecisionRecord& r) {  // Whom a proxy lets in has no name; the proxy's has.
    r.subject = SubjectKind::kAnonymous;
    r.caller = "";
    r.connection_id = 4;
  }));
  ASSERT_TRUE(Eventually([&] { return DecisionNumbers().size() == 1; }));
  EXPECT_THAT(DecisionNumbers(), testing::ElementsAre(4));
  EXPECT_TRUE(Eventually([&] { return collector_->stats().rejected == 3; }));
  std::vector<std::string> alarms = Alarms();
  ASSERT_EQ(alarms.size(), 3U);
  EXPECT_THAT(alarms[0], testing::HasSubstr("names no workload"));
  EXPECT_THAT(alarms[1], testing::HasSubstr("names no node"));
  EXPECT_THAT(alarms[2], testing::HasSubstr("names no workload"));
}

TEST_F(HostileProxyTest, GapRecordsWithoutEndAreSummedUpInOneRecordACommit) {
  constexpr uint64_t kFlood = 10'000;
  for (uint64_t i = 0; i < kFlood; ++i) {
    Put(EncodeToString(GapRecord{3, 1, 2}));
  }
  Put(EncodeToString(GapRecord{0, 1, 2}));
  Begin();
  HandOverRing();
  // The last one is no gap, and is refused as that.
  ASSERT_TRUE(Eventually([&] {
    std::vector<std::string> alarms = Alarms();
    return std::count_if(alarms.begin(), alarms.end(), [](const std::string& alarm) {
             return alarm.find("a gap record of no records") != std::string::npos;
           }) == 1;
  }));
  collector_.reset();
  uint64_t filed = 0;
  uint64_t missing = 0;
  for (const ParsedRecord& record : Records()) {
    if (const auto* gap = std::get_if<GapRecord>(&record.value())) {
      ++filed;
      missing += gap->count;
    }
  }
  uint64_t sums = 0;
  for (const std::string& alarm : Alarms()) {
    if (size_t of = alarm.find(" more gap records in one commit, of "); of != std::string::npos) {
      ++sums;
      missing += std::stoull(alarm.substr(alarm.find(", of ", of) + 5));
    }
  }
  EXPECT_EQ(missing, 3 * kFlood) << "each missing record is counted in the signed log";
  EXPECT_GE(sums, 1U);
  // Each commit that files as many as it may has a sum; the last one may have fewer.
  EXPECT_LE(filed, CollectorLimits::kGapsPerCommitMax * (sums + 1));
}

// A proxy of another user, in a process of its own, with the lowest ring ids that there are: it
// fills its rings and goes on until it is killed.
class Flooder {
 public:
  static constexpr uid_t kUid = 70020;
  static constexpr size_t kRings = 18;

  Flooder(const RingHandover::Options& options, std::string record) {
    pid_ = ::fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      Run(options, record);
    }
  }
  ~Flooder() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Flooder(const Flooder&) = delete;
  Flooder& operator=(const Flooder&) = delete;

 private:
  [[noreturn]] static void Run(const RingHandover::Options& options, const std::string& record) {
    CHECK(::setgroups(0, nullptr) == 0 && ::setresgid(kUid, kUid, kUid) == 0 &&
          ::setresuid(kUid, kUid, kUid) == 0);
    std::vector<RingWriter> writers;
    std::vector<RingHandover::Ring> rings;
    for (uint8_t i = 0; i < kRings; ++i) {
      auto writer = RingWriter::Create({.name = "flood", .capacity_bytes = 1 << 18});
      CHECK(writer.ok());
      RingId id = {0, 0, 0, i, 1};
      CHECK(::pwrite(writer->memory_fd(), id.data(), id.size(), 24) == 16);
      writers.push_back(*std::move(writer));
    }
    for (const RingWriter& writer : writers) {
      rings.push_back({&writer, "flood"});
    }
    auto fill = [&] {
      for (RingWriter& writer : writers) {
        for (std::span<char> room; !(room = writer.Reserve(record.size())).empty();) {
          std::copy(record.begin(), record.end(), room.begin());
          writer.Commit(record.size());
        }
      }
    };
    fill();
    auto handover = RingHandover::Start(options, rings);
    CHECK(handover.ok());
    for (;;) {
      fill();
      std::this_thread::yield();
    }
  }
  pid_t pid_ = -1;
};

// As is a thread that has become another user, alone of this process.
class As {
 public:
  explicit As(uid_t uid) { CHECK(::syscall(SYS_setresuid, -1, uid, -1) == 0); }
  ~As() { CHECK(::syscall(SYS_setresuid, -1, 0, -1) == 0); }
  As(const As&) = delete;
  As& operator=(const As&) = delete;
};

// What the agent says until it closes the connection; it must do that.
std::string SaidUntilTheEnd(const Fd& socket) {
  std::string said;
  for (;;) {
    pollfd readable = {socket.get(), POLLIN, 0};
    std::array<char, 512> part;
    if (::poll(&readable, 1, 120'000) != 1) {
      return said + "(still open)";
    }
    ssize_t got = ::recv(socket.get(), part.data(), part.size(), 0);
    if (got <= 0) {
      return said;
    }
    said.append(part.data(), static_cast<size_t>(got));
  }
}

TEST_F(HostileProxyTest, OneUsersConnectionsLeaveTheNextUserAPlace) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root: only root can be somebody else";
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  mode_ = 0666;
  Begin();
  std::vector<Fd> held;
  std::string refused;
  {
    As other(Flooder::kUid);
    for (size_t i = 0; i <= CollectorLimits::kConnectionsMax; ++i) {
      auto socket = ConnectUnix(Options().socket_path);
      ASSERT_TRUE(socket.ok()) << socket.status();
      held.push_back(*std::move(socket));
    }
  }
  // It was refused long before it had all places.
  EXPECT_THAT(SaidUntilTheEnd(held.back()), testing::HasSubstr("proxies of one user"));
  HandOverRing();
  EXPECT_TRUE(Eventually([&] { return handover_->connected(); })) << handover_->last_error();
}

TEST_F(HostileProxyTest, WhoHandsNothingOverHoldsNoPlaceForLong) {
  Begin();
  HandOverRing();
  auto idle = ConnectUnix(Options().socket_path);
  ASSERT_TRUE(idle.ok());
  EXPECT_EQ(SaidUntilTheEnd(*idle), "");
  EXPECT_TRUE(Eventually([&] { return handover_->connected(); })) << handover_->last_error();
  Put(Decision([](DecisionRecord& r) { r.connection_id = 1; }));
  EXPECT_TRUE(Eventually([&] { return DecisionNumbers().size() == 1; }));
}

TEST_F(HostileProxyTest, AStrangerGetsNoDescriptorIn) {
  int probe[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, probe), 0);
  Fd left(probe[0]);
  Fd right(probe[1]);
  int off = 0;
  if (::setsockopt(right.get(), SOL_SOCKET, 83, &off, sizeof(off)) != 0) {
    return;  // A kernel before 6.16 knows no SO_PASSRIGHTS.
  }
  Register({});
  refuse_all_ = true;
  Begin();
  for (int i = 0; i < 50; ++i) {
    auto socket = ConnectUnix(Options().socket_path);
    ASSERT_TRUE(socket.ok());
    std::array<int, 1> fds = {left.get()};
    Status sent = SendFds(socket->get(), "hello", fds);
    EXPECT_TRUE(sent.code() == StatusCode::kPermissionDenied ||
                sent.code() == StatusCode::kUnavailable)
        << sent;
  }
}

TEST_F(HostileProxyTest, AFloodOfOneUserHoldsBackNobodyElsesRecordForLong) {
  ASSERT_EQ(::geteuid(), 0U) << "needs root: only root can be somebody else";
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  mode_ = 0666;
  Begin();
  HandOverRing();
  ASSERT_TRUE(Eventually([&] { return handover_->connected(); })) << handover_->last_error();
  uint64_t before = 0;
  {
    Flooder flooder(HandoverOptions(),
                    EncodeToString(EventRecord{EventKind::kPolicyLoaded, 1, "", "", "", {}}));
    ASSERT_TRUE(Eventually([&] { return collector_->stats().rings == 1 + Flooder::kRings; }));
    Put(Decision([](DecisionRecord& r) { r.connection_id = 1; }));
    before = collector_->stats().tree_size;
    // Room for a whole ring: the record is committed, and its room given back.
    ASSERT_TRUE(Eventually([&] { return writer_->RoomFor(kRingBytes); }));
  }
  collector_.reset();
  uint64_t at = 0;
  for (const ParsedRecord& record : Records()) {
    if (record.decision() != nullptr) {
      break;
    }
    ++at;
  }
  // The commit that ran when it was written, and the next one.
  EXPECT_LE(at, before + 2 * (NodeLogLimits::kBatchEntriesMax + 1'000));
}

}  // namespace
}  // namespace countersign::audit
