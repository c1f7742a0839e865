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
  static RingSources::Offer OfferOf(const RingWriter& writer, uint64_t connection) {
    return {.peer = {.pid = 1, .uid = 70012, .gid = 70012},
            .name = "r",
            .connection = connection,
            .workloads = {},
            .memory = Fd(::fcntl(writer.memory_fd(), F_DUPFD_CLOEXEC, 3)),
            .wake = Fd(::fcntl(writer.wake_fd(), F_DUPFD_CLOEXEC, 3))};
  }
  Status Add(uint64_t connection) { return rings_.Add(OfferOf(Writer(), connection)).status(); }

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
    ASSERT_TRUE(Add(16 + i / CollectorLimits::kRingsPerPeerMax).ok()) << i;
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
