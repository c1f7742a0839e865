// The limits of the rings that a node takes, each at its edge.
#include "audit/log/ring_sources.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include "tests/audit/log_fixture.h"

namespace countersign::audit {
namespace {

using testing::HasSubstr;

class RingSourcesTest : public LogFixture {
 protected:
  static void SetUpTestSuite() {
    // Two descriptors a ring.
    rlimit limit = {};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 4096));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  static RingWriter Writer() {
    auto writer = RingWriter::Create({.name = "r", .capacity_bytes = 1 << 16});
    CHECK(writer.ok());
    return *std::move(writer);
  }
  static RingSources::Offer OfferOf(const RingWriter& writer, uint64_t connection,
                                    uid_t uid = 70012) {
    return {.peer = {.pid = 1, .uid = uid, .gid = uid},
            .name = "r",
            .connection = connection,
            .workloads = {},
            .memory = Fd(::fcntl(writer.memory_fd(), F_DUPFD_CLOEXEC, 3)),
            .wake = Fd(::fcntl(writer.wake_fd(), F_DUPFD_CLOEXEC, 3))};
  }
  Status Add(uint64_t connection, uid_t uid = 70012) {
    return rings_.Add(OfferOf(Writer(), connection, uid)).status();
  }
  // The first bytes are what the rings are ordered by.
  static RingWriter WriterWithId(uint8_t first, uint8_t second) {
    auto writer = RingWriter::Create({.name = "r", .capacity_bytes = 1 << 20});
    CHECK(writer.ok());
    RingId id = {first, second, 1};
    CHECK(::pwrite(writer->memory_fd(), id.data(), id.size(), 24) == 16);
    return *std::move(writer);
  }
  static void Fill(RingWriter& writer, std::string_view record) {
    for (std::span<char> room; !(room = writer.Reserve(record.size())).empty();) {
      std::copy(record.begin(), record.end(), room.begin());
      writer.Commit(record.size());
    }
  }
  static void PutEvent(RingWriter& writer) {
    std::string event = EncodeToString(EventRecord{EventKind::kStart, 1, "", "", "", {}});
    std::span<char> room = writer.Reserve(event.size());
    CHECK(!room.empty());
    std::copy(event.begin(), event.end(), room.begin());
    writer.Commit(event.size());
  }
  // One commit; gives the number of its entries.
  size_t Commit(NodeLog& log) {
    uint64_t rejected = 0;
    rings_.Drain(log, 0, rejected);
    size_t entries = log.pending();
    EXPECT_TRUE(log.Commit().ok());
    rings_.Release([](int) {});
    return entries;
  }

  std::vector<std::string> registered_;
  RingSources rings_{"spiffe://shop.example/agent/node-1",
                     [this](const HandoverPeer&) { return registered_; }, clock_};
};

TEST_F(RingSourcesTest, OneProxyHasAsManyRingsAsTheLimitAndNoMore) {
  for (size_t i = 0; i < CollectorLimits::kRingsPerPeerMax; ++i) {
    ASSERT_TRUE(Add(16).ok()) << i;
  }
  Status over = Add(16);
  EXPECT_EQ(over.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(over)), HasSubstr(Concat(CollectorLimits::kRingsPerPeerMax)));
  EXPECT_TRUE(Add(17).ok()) << "another proxy has room";
}

TEST_F(RingSourcesTest, ANodeHasAsManyRingsAsTheLimitAndNoMore) {
  for (size_t i = 0; i < CollectorLimits::kRingsMax; ++i) {
    size_t proxy = i / CollectorLimits::kRingsPerPeerMax;
    ASSERT_TRUE(Add(16 + proxy, static_cast<uid_t>(70012 + proxy)).ok()) << i;
  }
  Status over = Add(1000);
  EXPECT_EQ(over.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(over)), HasSubstr(Concat(CollectorLimits::kRingsMax)));
  // Those of a proxy that is gone and left nothing make room.
  rings_.ConnectionGone(16);
  rings_.Release([](int) {});
  EXPECT_EQ(rings_.size(), CollectorLimits::kRingsMax - CollectorLimits::kRingsPerPeerMax);
  EXPECT_TRUE(Add(1000).ok());
}

TEST_F(RingSourcesTest, OneUserHasAsManyRingsAsTheLimitHoweverManyItsProxies) {
  for (size_t i = 0; i < CollectorLimits::kRingsPerUidMax; ++i) {
    ASSERT_TRUE(Add(16 + i).ok()) << i;
  }
  Status over = Add(1000);
  EXPECT_EQ(over.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(over)), HasSubstr(Concat(CollectorLimits::kRingsPerUidMax)));
  EXPECT_TRUE(Add(1001, 70013).ok()) << "another user has room";
}

TEST_F(RingSourcesTest, TheLastRingsAreForUsersThatHaveFew) {
  constexpr size_t kUsers = 3;
  static_assert(kUsers * CollectorLimits::kRingsPerUidMax ==
                CollectorLimits::kRingsMax - CollectorLimits::kRingsReserved);
  for (size_t i = 0; i < kUsers * CollectorLimits::kRingsPerUidMax; ++i) {
    ASSERT_TRUE(Add(16 + i, static_cast<uid_t>(70012 + i % kUsers)).ok()) << i;
  }
  for (size_t i = 0; i < CollectorLimits::kRingsPerPeerMax; ++i) {
    ASSERT_TRUE(Add(2000, 70020).ok()) << i;
  }
  EXPECT_EQ(Add(2001, 70020).code(), StatusCode::kResourceExhausted) << "it has no longer few";
  EXPECT_TRUE(Add(2002, 70021).ok());
}

TEST_F(RingSourcesTest, OneUsersFullRingsLeaveTheNextUserItsShareOfEveryBatch) {
  for (size_t bytes : {size_t{1}, size_t{40 * 1024}}) {  // Of records, or of bytes, the most.
    auto log = Open();
    EventRecord event{EventKind::kStart, 1, "", "", "", {}};
    std::vector<PolicyVersion> policies(std::min(bytes / 36, RecordLimits::kPoliciesMax));
    event.policies = policies;
    std::string record = EncodeToString(event);
    ASSERT_FALSE(record.empty());
    std::vector<RingWriter> flood;
    for (uint8_t i = 0; i < 40; ++i) {
      flood.push_back(WriterWithId(0, static_cast<uint8_t>(bytes > 1 ? 100 + i : i)));
      ASSERT_TRUE(rings_.Add(OfferOf(flood.back(), 16, 70020)).ok());
    }
    RingWriter honest = WriterWithId(255, bytes > 1 ? 2 : 1);
    ASSERT_TRUE(rings_.Add(OfferOf(honest, 17, 70012)).ok());
    size_t room = 0;
    while (honest.RoomFor(room + 8)) {
      room += 8;
    }
    for (int batch = 0; batch < 3; ++batch) {
      for (RingWriter& writer : flood) {
        Fill(writer, record);
      }
      PutEvent(honest);
      EXPECT_LE(Commit(*log), NodeLogLimits::kBatchEntriesMax);
      EXPECT_TRUE(honest.RoomFor(room)) << "its record is in batch " << batch;
    }
    rings_.ConnectionGone(16);
    rings_.ConnectionGone(17);
    while (rings_.size() > 0) {
      Commit(*log);
    }
  }
}

TEST_F(RingSourcesTest, EveryRingOfOneUserHasItsTurnWithinFewBatches) {
  auto log = Open();
  std::string record = EncodeToString(EventRecord{EventKind::kStart, 1, "", "", "", {}});
  std::vector<RingWriter> rings;
  for (uint8_t i = 0; i < 40; ++i) {
    rings.push_back(WriterWithId(1, i));
    ASSERT_TRUE(rings_.Add(OfferOf(rings.back(), 16)).ok());
  }
  std::vector<bool> had_its_turn(rings.size());
  for (int batch = 0; batch < 3; ++batch) {  // Sixteen turns of 1,024 records a batch.
    for (RingWriter& writer : rings) {
      Fill(writer, record);
    }
    Commit(*log);
    for (size_t i = 0; i < rings.size(); ++i) {
      had_its_turn[i] = had_its_turn[i] || rings[i].RoomFor(RingWriter::FramedBytes(record.size()));
    }
  }
  EXPECT_EQ(std::ranges::count(had_its_turn, true), 40);
}

TEST_F(RingSourcesTest, RecordsThatAreRefusedUseUpABatchLikeThoseThatAreFiled) {
  auto log = Open();
  std::vector<RingWriter> rings;
  for (uint8_t i = 0; i < 2; ++i) {
    rings.push_back(WriterWithId(1, i));
    ASSERT_TRUE(rings_.Add(OfferOf(rings.back(), 16)).ok());
    Fill(rings.back(), "forged");  // More than a batch.
  }
  uint64_t rejected = 0;
  rings_.Drain(*log, 0, rejected);
  EXPECT_EQ(rejected, NodeLogLimits::kBatchEntriesMax);
}

TEST_F(RingSourcesTest, ARingOfAnotherUserIsNotTakenOver) {
  RingWriter writer = Writer();
  ASSERT_TRUE(rings_.Add(OfferOf(writer, 16)).ok());
  RingSources::Offer other = OfferOf(writer, 17);
  other.peer.uid = 70013;
  EXPECT_EQ(rings_.Add(std::move(other)).status().code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(rings_.Add(OfferOf(writer, 18)).ok()) << "its own user may hand it over again";
}

TEST_F(RingSourcesTest, OverTheLimitOnlyTheWorkloadsOfTodayMayBeSpokenFor) {
  auto log = Open();
  RingWriter writer = Writer();
  auto decision_of = [&](const std::string& workload, uint64_t number) {
    SampleDecision sample;
    sample.record.callee = workload;
    sample.record.id = IdOf(number);
    std::string bytes = EncodeToString(sample.record);
    std::span<char> room = writer.Reserve(bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    writer.Commit(bytes.size());
    uint64_t rejected = 0;
    rings_.Drain(*log, 0, rejected);
    EXPECT_TRUE(log->Commit().ok());
    rings_.Release([](int) {});
    return rejected == 0;
  };
  RingSources::Offer offer = OfferOf(writer, 16);
  offer.workloads = registered_ = {"spiffe://shop.example/first"};
  ASSERT_TRUE(rings_.Add(std::move(offer)).ok());
  for (size_t i = 1; i < CollectorLimits::kWorkloadsPerRingMax; ++i) {
    registered_ = {Concat("spiffe://shop.example/w", i)};
    ASSERT_TRUE(decision_of(registered_[0], i)) << i;
  }
  EXPECT_TRUE(decision_of("spiffe://shop.example/first", 1000)) << "it was registered for it";
  registered_ = {"spiffe://shop.example/last"};
  EXPECT_TRUE(decision_of("spiffe://shop.example/last", 1001));
  EXPECT_FALSE(decision_of("spiffe://shop.example/first", 1002));
  EXPECT_TRUE(decision_of("spiffe://shop.example/last", 1003));
}

TEST_F(RingSourcesTest, ABatchIsFullAtItsLimitOfEntriesAndOfBytes) {
  auto log = Open();
  for (uint64_t i = 0; i < NodeLogLimits::kBatchEntriesMax; ++i) {
    ASSERT_FALSE(log->BatchIsFull()) << i;
    log->AppendOwn("x");
  }
  EXPECT_TRUE(log->BatchIsFull());
  ASSERT_TRUE(log->Commit().ok());
  EXPECT_FALSE(log->BatchIsFull());
  std::string large(RecordLimits::kRecordBytesMax, 'x');
  size_t framed = 2 + kEntryHeaderBytes + large.size();
  for (size_t bytes = 0; bytes < NodeLogLimits::kBatchBytesMax; bytes += framed) {
    ASSERT_FALSE(log->BatchIsFull()) << bytes;
    log->AppendOwn(large);
  }
  EXPECT_TRUE(log->BatchIsFull());
}

TEST_F(RingSourcesTest, TheLongestUnusedRingsSequenceIsForgottenOverTheLimit) {
  auto ring = [](uint64_t n) {
    return RingId{1, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)};
  };
  std::string record = EncodeToString(GapRecord{});
  {
    auto log = Open();
    for (uint64_t n = 0; n < NodeLogLimits::kRingsMax; ++n) {
      ASSERT_TRUE(log->Append({ring(n), 5}, record));
    }
    ASSERT_TRUE(log->Commit().ok());
    EXPECT_FALSE(log->Append({ring(0), 5}, record)) << "all are known";
    ASSERT_TRUE(log->Append({ring(0), 6}, record));
    ASSERT_TRUE(log->Append({ring(5000), 5}, record));
    ASSERT_TRUE(log->Commit().ok());
    EXPECT_FALSE(log->Append({ring(0), 6}, record)) << "it was used";
    EXPECT_FALSE(log->Append({ring(5000), 5}, record));
  }
  auto log = Open();
  size_t forgotten = 0;
  for (uint64_t n = 0; n < NodeLogLimits::kRingsMax; ++n) {
    forgotten += log->Append({ring(n), n == 0 ? uint64_t{6} : uint64_t{5}}, record) ? 1 : 0;
  }
  EXPECT_EQ(forgotten, 1U);
}

}  // namespace
}  // namespace countersign::audit
