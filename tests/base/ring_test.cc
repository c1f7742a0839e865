#include "base/ring.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <thread>

#include "base/crc32c.h"

namespace countersign {
namespace {

constexpr size_t kSmall = RingLimits::kCapacityBytesMin;
constexpr size_t kHeadOffset = 64;  // Of the shared header: what a hostile producer can write.
constexpr size_t kDataOffset = 4096;

RingWriter MakeWriter(size_t capacity = kSmall) {
  StatusOr<RingWriter> ring = RingWriter::Create({.name = "test", .capacity_bytes = capacity});
  CHECK(ring.ok());
  return *std::move(ring);
}

Fd Duplicate(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

StatusOr<RingReader> AttachTo(const RingWriter& writer) {
  return RingReader::Attach(Duplicate(writer.memory_fd()), Duplicate(writer.wake_fd()));
}

bool Put(RingWriter& writer, std::string_view record) {
  std::span<char> room = writer.Reserve(record.size());
  if (room.empty()) {
    return false;
  }
  std::memcpy(room.data(), record.data(), record.size());
  writer.Commit(record.size());
  return true;
}

// Take reads one record, or gives "" when there is none or an error.
std::string Take(RingReader& reader) {
  std::string record;
  uint64_t sequence = 0;
  StatusOr<RingReader::Next> next = reader.Read(record, sequence);
  return next.ok() && *next == RingReader::Next::kRecord ? record : "";
}

// Deface overwrites shared memory behind the ring's back, as a hostile producer can.
void Deface(const RingWriter& writer, size_t offset, std::string_view bytes) {
  ASSERT_EQ(::pwrite(writer.memory_fd(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
            static_cast<ssize_t>(bytes.size()));
}

TEST(Crc32cTest, MatchesThePublishedVectors) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(Crc32c("6789", Crc32c("12345")), Crc32c("123456789"));
}

TEST(RingTest, GivesRecordsInOrderWithRisingSequence) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->id(), writer.id());
  ASSERT_TRUE(Put(writer, "one") && Put(writer, std::string(3000, 'x')) && Put(writer, "three"));
  std::string record;
  uint64_t sequence = 0;
  ASSERT_EQ(*reader->Read(record, sequence), RingReader::Next::kRecord);
  EXPECT_EQ(record, "one");
  EXPECT_EQ(sequence, 1U);
  EXPECT_EQ(Take(*reader), std::string(3000, 'x'));
  EXPECT_EQ(Take(*reader), "three");
  EXPECT_EQ(*reader->Read(record, sequence), RingReader::Next::kEmpty);
  EXPECT_FALSE(reader->HasMore());
}

TEST(RingTest, WrapsAroundWithoutLosingOrSplittingARecord) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok());
  std::mt19937 random(7);
  uint64_t put = 0;
  uint64_t taken = 0;
  auto content = [](uint64_t n) {
    return std::string(1 + n * 131 % 4000, static_cast<char>('a' + n % 26));
  };
  while (taken < 5000) {
    for (uint64_t i = random() % 30; i > 0 && Put(writer, content(put)); --i) {
      ++put;
    }
    while (reader->HasMore()) {
      ASSERT_EQ(Take(*reader), content(taken));
      ++taken;
    }
    reader->Release();
  }
  EXPECT_EQ(put, taken);
}

TEST(RingTest, RefusesARecordThatHasNoRoomUntilTheReaderReleases) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok());
  std::string big(30 * 1024, 'b');
  ASSERT_TRUE(Put(writer, big) && Put(writer, big));
  EXPECT_FALSE(Put(writer, big));
  EXPECT_EQ(Take(*reader), big);
  EXPECT_FALSE(Put(writer, big)) << "reading is not releasing";
  reader->Release();
  EXPECT_TRUE(Put(writer, big));
}

TEST(RingTest, RefusesRecordsThatAreEmptyOrOverTheLimit) {
  RingWriter writer = MakeWriter(1024 * 1024);
  EXPECT_TRUE(writer.Reserve(0).empty());
  EXPECT_TRUE(writer.Reserve(RingLimits::kRecordBytesMax + 1).empty());
  EXPECT_EQ(writer.Reserve(RingLimits::kRecordBytesMax).size(), RingLimits::kRecordBytesMax);
}

TEST(RingTest, ReadsAgainWhatWasRewound) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(Put(writer, "kept") && Put(writer, "again"));
  EXPECT_EQ(Take(*reader), "kept");
  reader->Release();
  EXPECT_EQ(Take(*reader), "again");
  reader->Rewind();
  EXPECT_EQ(Take(*reader), "again");
}

TEST(RingTest, ASecondReaderBeginsAtTheReleasedTail) {
  RingWriter writer = MakeWriter();
  {
    StatusOr<RingReader> first = AttachTo(writer);
    ASSERT_TRUE(first.ok());
    ASSERT_TRUE(Put(writer, "a") && Put(writer, "b") && Put(writer, "c"));
    EXPECT_EQ(Take(*first), "a");
    first->Release();
    EXPECT_EQ(Take(*first), "b");  // Not released: the reader dies here.
  }
  StatusOr<RingReader> second = AttachTo(writer);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(Take(*second), "b");
  EXPECT_EQ(Take(*second), "c");
}

TEST(RingTest, WakesASleepingReaderOnlyAndADozingOneWhenHalfFull) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok());
  uint64_t count = 0;
  auto wakes = [&] { return ::read(writer.wake_fd(), &count, sizeof(count)) > 0 ? count : 0; };
  reader->SetAttention(RingReader::Attention::kAwake);
  ASSERT_TRUE(Put(writer, "x"));
  EXPECT_EQ(wakes(), 0U);
  reader->SetAttention(RingReader::Attention::kSleeps);
  ASSERT_TRUE(Put(writer, "x") && Put(writer, "x"));
  EXPECT_EQ(wakes(), 2U);
  reader->SetAttention(RingReader::Attention::kDozes);
  ASSERT_TRUE(Put(writer, std::string(kSmall / 4, 'x')));
  EXPECT_EQ(wakes(), 0U);
  ASSERT_TRUE(Put(writer, std::string(kSmall / 2, 'x')));
  EXPECT_EQ(wakes(), 1U);
}

TEST(RingTest, TheWriterTakesAnImpossibleTailForAFullRing) {
  RingWriter writer = MakeWriter();
  ASSERT_TRUE(Put(writer, "x"));
  uint64_t tail = 1 << 20;
  Deface(writer, 2 * kHeadOffset, {reinterpret_cast<const char*>(&tail), sizeof(tail)});
  EXPECT_FALSE(Put(writer, "x"));
}

struct Defacement {
  const char* name;
  size_t offset;
  std::string bytes;
};

std::string Word(uint64_t value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

class HostileRingTest : public testing::TestWithParam<Defacement> {};

TEST_P(HostileRingTest, ReaderReportsItAndReadsNothingMore) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE(Put(writer, "first record") && Put(writer, "second record"));
  Deface(writer, GetParam().offset, GetParam().bytes);
  std::string record;
  uint64_t sequence = 0;
  Status seen;
  for (int i = 0; i < 3 && seen.ok(); ++i) {
    StatusOr<RingReader::Next> next = reader->Read(record, sequence);
    seen = next.status();
  }
  EXPECT_EQ(seen.code(), StatusCode::kDataLoss) << seen;
}

INSTANTIATE_TEST_SUITE_P(
    Table, HostileRingTest,
    testing::Values(Defacement{"head_beyond_capacity", kHeadOffset, Word(kSmall * 4)},
                    Defacement{"head_behind_tail", kHeadOffset, Word(UINT64_MAX - 7)},
                    Defacement{"head_unaligned", kHeadOffset, Word(33)},
                    Defacement{"head_in_a_frame", kHeadOffset, Word(40)},
                    Defacement{"length_zero", kDataOffset, std::string(4, '\0')},
                    Defacement{"length_huge", kDataOffset, "\xff\xff\xff\x7f"},
                    Defacement{"length_longer", kDataOffset, std::string("\x0d\0\0\0", 4)},
                    Defacement{"crc", kDataOffset + 4, "zz"},
                    Defacement{"sequence_zero", kDataOffset + 8, Word(0)},
                    Defacement{"sequence_skips", kDataOffset + 8, Word(9)},
                    Defacement{"payload", kDataOffset + 20, "#"}),
    [](const auto& row) { return row.param.name; });

TEST(RingAttachTest, RefusesMemoryThatAPeerCouldShrink) {
  Fd memory(::memfd_create("x", MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(memory.get(), static_cast<off_t>(4096 + kSmall)), 0);
  RingWriter other = MakeWriter();
  StatusOr<RingReader> reader =
      RingReader::Attach(Duplicate(memory.get()), Duplicate(other.wake_fd()));
  EXPECT_EQ(reader.status().code(), StatusCode::kInvalidArgument);
}

TEST(RingAttachTest, RefusesAWakeDescriptorThatIsNoEventfd) {
  RingWriter writer = MakeWriter();
  int pipes[2] = {};
  ASSERT_EQ(::pipe2(pipes, O_CLOEXEC), 0);
  Fd read_end(pipes[0]);
  Fd write_end(pipes[1]);
  StatusOr<RingReader> reader =
      RingReader::Attach(Duplicate(writer.memory_fd()), std::move(read_end));
  EXPECT_THAT(std::string(reader.status().message()), testing::HasSubstr("not an eventfd"));
}

TEST(RingAttachTest, RefusesAHeaderThatIsNotARings) {
  for (size_t offset : {size_t{0}, size_t{8}, size_t{12}, size_t{16}, 2 * kHeadOffset}) {
    RingWriter writer = MakeWriter();
    Deface(writer, offset, "\x7f\x7f\x7f");
    EXPECT_FALSE(AttachTo(writer).ok()) << offset;
  }
}

TEST(RingTest, TwoThreadsPassRecordsWithoutLossOrRepeat) {
  RingWriter writer = MakeWriter();
  StatusOr<RingReader> reader = AttachTo(writer);
  ASSERT_TRUE(reader.ok());
  constexpr uint64_t kRecords = 50000;
  std::thread producer([&] {
    for (uint64_t n = 0; n < kRecords;) {
      std::string record = Concat("record ", n);
      record.resize(16 + n % 200, '.');
      n += Put(writer, record) ? 1 : 0;
    }
  });
  std::string record;
  uint64_t sequence = 0;
  for (uint64_t n = 0; n < kRecords;) {
    reader->SetAttention(RingReader::Attention::kSleeps);
    if (!reader->HasMore()) {
      pollfd wait = {reader->wake_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&wait, 1, 20000), 1) << "a wake-up was lost at " << n;
      ASSERT_GT(::read(reader->wake_fd(), &sequence, sizeof(sequence)), 0);
    }
    reader->SetAttention(RingReader::Attention::kAwake);
    for (StatusOr<RingReader::Next> next = reader->Read(record, sequence);
         *next == RingReader::Next::kRecord; next = reader->Read(record, sequence)) {
      ASSERT_EQ(sequence, ++n);
      ASSERT_TRUE(record.starts_with(Concat("record ", n - 1)));
    }
    reader->Release();
  }
  producer.join();
}

TEST(RingTest, AProducerKilledAnywhereLeavesOnlyWholeRecords) {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    RingWriter writer = MakeWriter();
    StatusOr<RingReader> reader = AttachTo(writer);
    ASSERT_TRUE(reader.ok());
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (uint64_t n = 1;;) {
        std::string record(1 + n % 900, static_cast<char>('a' + n % 26));
        n += Put(writer, record) ? 1 : 0;
      }
    }
    uint64_t kill_after = 1 + random() % 20000;
    std::string record;
    uint64_t sequence = 0;
    uint64_t n = 0;
    bool killed = false;
    for (;;) {
      StatusOr<RingReader::Next> next = reader->Read(record, sequence);
      ASSERT_TRUE(next.ok()) << next.status();
      if (*next == RingReader::Next::kRecord) {
        ++n;
        ASSERT_EQ(sequence, n);
        ASSERT_EQ(record, std::string(1 + n % 900, static_cast<char>('a' + n % 26)));
        reader->Release();
      } else if (killed) {
        break;
      }
      if (n >= kill_after && !killed) {
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        killed = true;
      }
    }
    EXPECT_GE(n, kill_after);
  }
}

TEST(RingTest, CapacitiesOutsideTheLimitsAreRefused) {
  for (size_t capacity : {RingLimits::kCapacityBytesMin / 2, RingLimits::kCapacityBytesMax * 2,
                          RingLimits::kCapacityBytesMin + 4096, size_t{0}}) {
    EXPECT_FALSE(RingWriter::Create({.name = "ring", .capacity_bytes = capacity}).ok()) << capacity;
  }
  EXPECT_TRUE(
      RingWriter::Create({.name = "ring", .capacity_bytes = RingLimits::kCapacityBytesMax}).ok());
}

}  // namespace
}  // namespace countersign
