#include "audit/record/recorder.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/audit/sample_records.h"

namespace countersign::audit {
namespace {

constexpr size_t kSmallRing = RingLimits::kCapacityBytesMin;

class RecorderTest : public testing::Test {
 protected:
  RecorderTest() {
    auto made = Recorder::Create({.name = "w0", .ring_bytes = kSmallRing}, clock_);
    CHECK(made.ok());
    recorder_ = *std::move(made);
    auto attached = RingReader::Attach(Duplicate(recorder_->ring().memory_fd()),
                                       Duplicate(recorder_->ring().wake_fd()));
    CHECK(attached.ok());
    reader_ = std::make_unique<RingReader>(*std::move(attached));
  }
  static Fd Duplicate(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

  // Fill records strict decisions until one is refused; the slots stay with the caller.
  std::vector<CompletionSlot> Fill(Durability durability) {
    std::vector<CompletionSlot> slots;
    for (;;) {
      CompletionSlot slot = recorder_->RecordDecision(sample_.record, durability);
      if (!slot) {
        return slots;
      }
      slots.push_back(std::move(slot));
    }
  }
  std::vector<ParsedRecord> Drain() {
    std::vector<ParsedRecord> records;
    std::string bytes;
    uint64_t sequence = 0;
    while (*reader_->Read(bytes, sequence) == RingReader::Next::kRecord) {
      records.push_back(*ParsedRecord::Parse(bytes));
    }
    reader_->Release();
    return records;
  }

  FakeClock clock_{WallTime(std::chrono::seconds(1'790'000'000))};
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<RingReader> reader_;
  SampleDecision sample_;
  CompletionRecord done_ = {SampleId(1), 5, 200, 1, 2, 3, "10.0.0.7:8443", ""};
};

TEST_F(RecorderTest, RecordsADecisionAndItsCompletion) {
  CompletionSlot slot = recorder_->RecordDecision(sample_.record, Durability::kBestEffort);
  ASSERT_TRUE(slot);
  recorder_->RecordCompletion(std::move(slot), done_);
  std::vector<ParsedRecord> records = Drain();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].decision()->path, "/orders/7");
  EXPECT_EQ(std::get<CompletionRecord>(records[1].value()).status, 200);
  EXPECT_EQ(recorder_->counters().recorded, 2U);
}

TEST_F(RecorderTest, ARequestTooLargeForARecordIsRecordedWithoutItsHeaders) {
  std::string large(20'000, 'x');
  std::array<authz::NameValue, 4> headers;
  headers.fill({"x-tenant", large});
  sample_.record.headers = headers;
  for (Durability durability : {Durability::kBestEffort, Durability::kStrict}) {
    EXPECT_TRUE(recorder_->RecordDecision(sample_.record, durability));
    std::vector<ParsedRecord> records = Drain();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].decision()->path, "/orders/7");
    EXPECT_TRUE(records[0].decision()->headers.empty());
  }
  EXPECT_EQ(recorder_->counters().dropped, 0U);
}

TEST_F(RecorderTest, BestEffortDropsCountsAndLogsTheGapBeforeWhatFollows) {
  Fill(Durability::kBestEffort);
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_FALSE(recorder_->RecordDecision(sample_.record, Durability::kBestEffort));
  EXPECT_EQ(recorder_->counters().dropped, 2U);
  size_t before = Drain().size();
  ASSERT_GT(before, 50U);
  ASSERT_TRUE(recorder_->RecordDecision(sample_.record, Durability::kBestEffort));
  std::vector<ParsedRecord> records = Drain();
  ASSERT_EQ(records.size(), 2U);
  const auto& gap = std::get<GapRecord>(records[0].value());
  EXPECT_EQ(gap.count, 2U);
  EXPECT_EQ(gap.last_ns - gap.first_ns, 2'000'000'000);
  EXPECT_NE(records[1].decision(), nullptr);
}

TEST_F(RecorderTest, FlushGapWritesTheGapOnceWhenThereIsRoom) {
  Fill(Durability::kBestEffort);
  recorder_->FlushGap();
  Drain();
  recorder_->FlushGap();
  recorder_->FlushGap();
  std::vector<ParsedRecord> records = Drain();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(std::get<GapRecord>(records[0].value()).count, 1U);
}

TEST_F(RecorderTest, StrictRefusesWhenFullAndLeavesNoGap) {
  std::vector<CompletionSlot> slots = Fill(Durability::kStrict);
  EXPECT_EQ(recorder_->counters().refused, 1U);
  EXPECT_EQ(recorder_->counters().dropped, 0U);
}

TEST_F(RecorderTest, EveryStrictDecisionFindsRoomForItsCompletion) {
  std::vector<CompletionSlot> slots = Fill(Durability::kStrict);
  // Nobody else may take the promised room.
  EXPECT_FALSE(recorder_->RecordDecision(sample_.record, Durability::kBestEffort));
  std::string text(RecordLimits::kUpstreamBytesMax, 'u');
  done_.upstream = text;
  for (CompletionSlot& slot : slots) {
    recorder_->RecordCompletion(std::move(slot), done_);
  }
  EXPECT_EQ(recorder_->counters().recorded, 2 * slots.size());
  EXPECT_EQ(Drain().size(), 2 * slots.size());
}

TEST_F(RecorderTest, AnUnusedStrictSlotGivesItsRoomBack) {
  size_t first = Fill(Durability::kStrict).size();
  Drain();
  EXPECT_EQ(Fill(Durability::kStrict).size(), first);
}

TEST_F(RecorderTest, ADroppedDecisionHasNoCompletion) {
  Fill(Durability::kBestEffort);
  CompletionSlot slot = recorder_->RecordDecision(sample_.record, Durability::kBestEffort);
  Drain();
  recorder_->RecordCompletion(std::move(slot), done_);
  EXPECT_TRUE(Drain().empty());
}

TEST_F(RecorderTest, RecordsEvents) {
  EventRecord event = {EventKind::kPolicyLoaded, 1, "countersign-proxy", "node", "",
                       sample_.policies};
  EXPECT_TRUE(recorder_->RecordEvent(event));
  EXPECT_EQ(std::get<EventRecord>(Drain()[0].value()).policies[0].set, "shop");
}

TEST_F(RecorderTest, IdsDoNotRepeat) {
  std::set<DecisionId> seen;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(seen.insert(recorder_->NewId()).second);
  }
}

}  // namespace
}  // namespace countersign::audit
