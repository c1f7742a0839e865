#include "audit/log/node_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>

#include "audit/query/verify.h"
#include "tests/audit/log_fixture.h"
#include "tests/support/sync_spy.h"

namespace countersign::audit {
namespace {

using testing::HasSubstr;

class NodeLogTest : public LogFixture {
 protected:
  VerifyReport Verify() {
    StatusOr<VerifyReport> report = VerifyLog({.folder = folder_, .vkey = {}, .known = {}});
    CHECK(report.ok());
    return *std::move(report);
  }
  // Grows a file's last bytes as a crash in the middle of a write leaves them.
  void AppendTo(std::string_view name, std::string_view bytes) {
    std::string content = Read(name);
    Fd fd(::open(Path(name).c_str(), O_WRONLY | O_APPEND));
    ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  static std::string FramedEntry(uint64_t number) {
    SampleDecision sample;
    sample.record.id = IdOf(number);
    std::string entry;
    AppendEntry({kRing, number + 1}, EncodeToString(sample.record), entry);
    std::string framed;
    AppendFramed(entry, framed);
    return framed;
  }
};

TEST_F(NodeLogTest, LaysOutTilesAsC2spSays) {
  auto log = Open();
  Add(*log, 200);
  EXPECT_TRUE(Has("tile/entries/000.p/200"));
  EXPECT_TRUE(Has("tile/0/000.p/200"));
  Add(*log, 100);
  EXPECT_TRUE(Has("tile/entries/000") && Has("tile/entries/001.p/44"));
  EXPECT_TRUE(Has("tile/0/000") && Has("tile/0/001.p/44") && Has("tile/1/000.p/1"));
  EXPECT_FALSE(Has("tile/0/000.p")) << "a full tile has no partial form beside it";
  EXPECT_EQ(Read("tile/0/000").size(), 8192U);
  Add(*log, 256 * 3);
  EXPECT_TRUE(Has("tile/entries/003") && Has("tile/entries/004.p/44") && Has("tile/1/000.p/4"));
  Add(*log, 256 - 44);
  EXPECT_TRUE(Has("tile/entries/004"));
  EXPECT_FALSE(Has("tile/entries/005.p"));
  EXPECT_TRUE(Verify().good()) << Verify().findings.front();
}

TEST_F(NodeLogTest, KeepsItsKeySecretAndItsFolderClosed) {
  auto log = Open();
  struct stat facts = {};
  ASSERT_EQ(::stat(Path(kSigningKeyFile).c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(folder_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700U);
  EXPECT_EQ(Read(kVerifierKeyFile), log->verifier().ToString() + "\n");
}

TEST_F(NodeLogTest, SignsACheckpointOfAnEmptyLog) {
  auto log = Open();
  StatusOr<Checkpoint> checkpoint = OpenCheckpoint(Read(kCheckpointFile), log->verifier());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->size, 0U);
  EXPECT_EQ(checkpoint->root, EmptyTreeHash());
}

TEST_F(NodeLogTest, GoesOnWhereItEnded) {
  for (int life = 0; life < 6; ++life) {
    auto log = Open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->size(), next_);
    Add(*log, 100 + 31 * static_cast<uint64_t>(life));
  }
  VerifyReport report = Verify();
  EXPECT_TRUE(report.good()) << report.findings.front();
  EXPECT_EQ(report.decisions, next_);
}

TEST_F(NodeLogTest, TakesNoRecordOfARingTwiceAlsoAfterARestart) {
  {
    auto log = Open();
    Add(*log, 10);
    EXPECT_FALSE(log->Append({kRing, 10}, "again"));
  }
  auto log = Open();
  EXPECT_FALSE(log->Append({kRing, 10}, "again"));
  EXPECT_TRUE(log->Append({RingId{1}, 10}, EncodeToString(GapRecord{})));
}

TEST_F(NodeLogTest, AdoptsWholeRecordsBeyondTheSignedSizeAndCutsATornOne) {
  {
    auto log = Open();
    Add(*log, 300);
  }
  std::string torn = FramedEntry(301);
  AppendTo("tile/entries/001.p/44", FramedEntry(300) + torn.substr(0, torn.size() / 2));
  testing::internal::CaptureStderr();
  auto log = Open();
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_NE(log, nullptr);
  EXPECT_THAT(said, HasSubstr(Concat("audit log recovered folder=\"", folder_,
                                     "\" what=\"signed size 300; adopted 1 whole records that lay "
                                     "beyond it; cut off ",
                                     torn.size() / 2, " torn bytes\"")));
  EXPECT_EQ(log->size(), 302U) << "the adopted record and the recovery record";
  EXPECT_FALSE(log->Append({kRing, 301}, "the adopted one"));
  EXPECT_TRUE(log->Append({kRing, 302}, EncodeToString(GapRecord{})));
  ASSERT_TRUE(log->Commit().ok());
  VerifyReport report = Verify();
  EXPECT_TRUE(report.good()) << report.findings.front();
  EXPECT_EQ(report.decisions, 301U);
  EXPECT_EQ(report.events, 1U);
}

TEST_F(NodeLogTest, CutsATailOfGarbageAndHashTilesBeyondTheSignedSize) {
  {
    auto log = Open();
    Add(*log, 256);
  }
  ASSERT_TRUE(MakeFolder(Path("tile/entries/001.p"), 0700).ok());
  ASSERT_TRUE(MakeFolder(Path("tile/0/001.p"), 0700).ok());
  Write("tile/entries/001.p/3", std::string(500, '\0'));
  Write("tile/0/001.p/3", std::string(96, 'h'));
  {
    auto log = Open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(log->size(), 257U);
  }
  VerifyReport report = Verify();
  EXPECT_TRUE(report.good()) << report.findings.front();
}

TEST_F(NodeLogTest, EveryLengthOfTornTailIsRecovered) {
  {
    auto log = Open();
    Add(*log, 3);
  }
  std::string framed = FramedEntry(3);
  for (size_t length = 1; length < framed.size(); length += 7) {
    std::string before = BundleName(kEntriesLevel, 0);
    AppendTo(before, framed.substr(0, length));
    auto log = Open();
    ASSERT_NE(log, nullptr) << length;
    log.reset();
    // The auditor reads in the log itself what was lost.
    EXPECT_THAT(Read(BundleName(kEntriesLevel, 0)),
                HasSubstr(Concat("adopted 0 whole records that lay beyond it; cut off ", length,
                                 " torn bytes")));
    VerifyReport report = Verify();
    ASSERT_TRUE(report.good()) << length << ": " << report.findings.front();
    EXPECT_EQ(report.decisions, 3U);
  }
}

TEST_F(NodeLogTest, MendsNamesThatACrashLeftBehind) {
  {
    auto log = Open();
    Add(*log, 300);
  }
  // As if the process had died between signing and naming.
  ASSERT_TRUE(MakeFolder(Path("tile/entries/000.p"), 0700).ok());
  std::filesystem::rename(Path("tile/entries/000"), Path("tile/entries/000.p/5"));
  std::filesystem::rename(Path("tile/0/001.p/44"), Path("tile/0/001.p/9"));
  std::filesystem::remove(Path(kCheckpointFile));
  auto log = Open();
  ASSERT_NE(log, nullptr);
  EXPECT_TRUE(Has("tile/entries/000") && Has("tile/0/001.p/44"));
  EXPECT_FALSE(Has("tile/entries/000.p"));
  EXPECT_TRUE(Verify().good());
}

struct Damage {
  const char* name;
  std::function<void(const std::string& folder)> apply;
  const char* says;
};

class TamperTest : public NodeLogTest, public testing::WithParamInterface<Damage> {};

TEST_P(TamperTest, IsAnAlarmAndTheLogIsNotExtended) {
  {
    auto log = Open();
    Add(*log, 300);
  }
  std::string checkpoint = Read(kCheckpointFile);
  GetParam().apply(folder_);
  auto log = TryOpen();
  EXPECT_EQ(log.status().code(), StatusCode::kDataLoss) << log.status();
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("tamper alarm"));
  EXPECT_THAT(std::string(log.status().message()), HasSubstr(GetParam().says));
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("another --audit-dir"));
  EXPECT_EQ(Read(kCheckpointFile), checkpoint);
}

void Flip(const std::string& path, size_t at) {
  std::string content = *ReadFile(path, 1 << 26);
  content[at] = static_cast<char>(content[at] ^ 1);
  CHECK(WriteFileAtomically(path, content, 0600).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Table, TamperTest,
    testing::Values(
        Damage{"last_bundle_removed",
               [](const std::string& f) { std::filesystem::remove_all(f + "/tile/entries/001.p"); },
               "shorter than the 300 records"},
        Damage{"last_bundle_cut",
               [](const std::string& f) {
                 std::filesystem::resize_file(f + "/tile/entries/001.p/44", 1000);
               },
               "shorter than the 300 records"},
        Damage{
            "hash_tile_cut",
            [](const std::string& f) { std::filesystem::resize_file(f + "/tile/0/001.p/44", 64); },
            "shorter than the 300 records"},
        Damage{"all_tiles_removed",
               [](const std::string& f) { std::filesystem::remove_all(f + "/tile"); },
               "shorter than the 300 records"},
        Damage{"hash_altered", [](const std::string& f) { Flip(f + "/tile/0/001.p/44", 40); },
               "does not give the root"},
        Damage{"newest_record_altered",
               [](const std::string& f) { Flip(f + "/tile/entries/001.p/44", 100); },
               "altered record 256"},
        Damage{"state_removed",
               [](const std::string& f) { std::filesystem::remove(f + "/private/signing-state"); },
               "no signing state"},
        Damage{"state_damaged",
               [](const std::string& f) {
                 CHECK(WriteFileAtomically(f + "/private/signing-state", "x", 0600).ok());
               },
               "damaged signing state"},
        Damage{
            "key_removed",
            [](const std::string& f) { std::filesystem::remove(f + "/private/signing-key.pem"); },
            "no signing key"}),
    [](const auto& row) { return row.param.name; });

TEST_F(NodeLogTest, AHalfWrittenSigningStateFallsBackToTheOneBefore) {
  {
    auto log = Open();
    Add(*log, 5);
    Add(*log, 5);
  }
  // The newest of the two slots is torn; the records are there and are adopted.
  std::string state = Read(kSigningStateFile);
  uint64_t first = 0;
  uint64_t second = 0;
  std::memcpy(&first, state.data() + 8, 8);
  std::memcpy(&second, state.data() + 32 * 1024 + 8, 8);
  size_t newest = first > second ? 0 : 32 * 1024;
  state[newest + 30] = static_cast<char>(state[newest + 30] ^ 1);
  Write(kSigningStateFile, state);
  auto log = Open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(log->size(), 11U);
  EXPECT_TRUE(Verify().good());
}

TEST_F(NodeLogTest, RefusesAnotherName) {
  Open().reset();
  auto log = NodeLog::Open({folder_, "shop.example/agent/node-2", ""}, clock_);
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("keeps its name and key for ever"));
}

TEST_F(NodeLogTest, RefusesAKeyFileThatOthersMayRead) {
  Open().reset();
  ASSERT_EQ(::chmod(Path(kSigningKeyFile).c_str(), 0644), 0);
  EXPECT_THAT(std::string(TryOpen().status().message()), HasSubstr("chmod 0600"));
}

// A small file system of the test's own, which needs root, as the whole of ./check does.
class FullDiskTest : public NodeLogTest {
 protected:
  void SetUp() override {
    std::string mount = dir_.File("small");
    ASSERT_TRUE(MakeFolder(mount, 0700).ok());
    mounted_ = ::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=512k,mode=0700") == 0;
    ASSERT_TRUE(mounted_) << "needs root: mounts a file system of its own";
    folder_ = mount + "/audit";
  }
  void TearDown() override {
    if (mounted_) {
      ::umount2(dir_.File("small").c_str(), MNT_DETACH);
    }
  }
  // FillDisk leaves less room than a commit needs.
  void FillDisk() {
    Fd fd(::open(dir_.File("small/ballast").c_str(), O_WRONLY | O_CREAT, 0600));
    std::string block(4096, 'b');
    while (::write(fd.get(), block.data(), block.size()) > 0) {
    }
  }
  bool mounted_ = false;
};

TEST_F(FullDiskTest, NothingIsLostAndTheTreeStaysRightWhileTheDiskIsFull) {
  auto log = Open();
  ASSERT_NE(log, nullptr);
  Add(*log, 300);
  FillDisk();
  uint64_t kept = next_;
  for (int attempt = 0; attempt < 3; ++attempt) {
    for (uint64_t i = 0; i < 400; ++i) {
      AppendNumbered(*log, kept + i);
    }
    Status status = log->Commit();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(log->size(), kept);
    VerifyReport report = Verify();
    ASSERT_TRUE(report.good()) << report.findings.front();
  }
  std::filesystem::remove(dir_.File("small/ballast"));
  Add(*log, 400);
  EXPECT_EQ(log->size(), kept + 400);
  log.reset();
  EXPECT_EQ(Open()->size(), kept + 400);
  VerifyReport report = Verify();
  EXPECT_TRUE(report.good()) << report.findings.front();
  EXPECT_EQ(report.decisions, kept + 400);
}

TEST_F(FullDiskTest, WhatIsTakenBackIsGoneAlsoAfterAPowerFailure) {
  auto log = Open();
  ASSERT_NE(log, nullptr);
  Add(*log, 300);
  FillDisk();
  for (uint64_t i = 0; i < 400; ++i) {
    AppendNumbered(*log, next_ + i);
  }
  SyncSpy spy;
  ASSERT_FALSE(log->Commit().ok());
  EXPECT_THAT(spy.synced(), testing::IsSupersetOf({Path("tile/0"), Path("tile/entries")}));
}

TEST_F(NodeLogTest, WhatRecoveryCutsOffIsGoneAlsoAfterAPowerFailure) {
  {
    auto log = Open();
    Add(*log, 200);
  }
  // Of a commit that was never signed for: hashes alone, so that nothing is committed after it.
  ASSERT_TRUE(MakeFolder(Path("tile/0/001.p"), 0700).ok());
  Write("tile/0/001.p/3", std::string(96, 'h'));
  SyncSpy spy;
  auto log = Open();
  ASSERT_NE(log, nullptr);
  EXPECT_FALSE(Has("tile/0/001.p"));
  EXPECT_TRUE(spy.synced().contains(Path("tile/0")));
}

TEST_F(FullDiskTest, AProcessKilledOnAFullDiskRecovers) {
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto log = Open();
    Add(*log, 300);
    FillDisk();
    for (uint64_t i = 0; i < 400; ++i) {
      AppendNumbered(*log, next_ + i);
    }
    [[maybe_unused]] Status ignored = log->Commit();
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  std::filesystem::remove(dir_.File("small/ballast"));
  auto log = Open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(log->size(), 300U);
}

TEST_F(NodeLogTest, AProcessKilledAtSeededPointsLeavesAPrefixOfItsRecords) {
  std::mt19937 random(5);
  uint64_t seen = 0;
  for (int round = 0; round < 8; ++round) {
    int pipes[2] = {};
    ASSERT_EQ(::pipe2(pipes, O_CLOEXEC), 0);
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto log = Open();
      for (uint64_t n = seen; log != nullptr; n += 37) {
        for (uint64_t i = 0; i < 37; ++i) {
          AppendNumbered(*log, n + i);
        }
        if (!log->Commit().ok() || ::write(pipes[1], "x", 1) != 1) {
          break;
        }
      }
      ::_exit(4);
    }
    Fd from(pipes[0]);
    Fd to(pipes[1]);
    to.Reset();
    char c = 0;
    for (uint64_t commits = random() % 10 + 1; commits > 0; --commits) {
      ASSERT_EQ(::read(from.get(), &c, 1), 1);
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    auto log = Open();
    ASSERT_NE(log, nullptr);
    VerifyReport report = Verify();
    ASSERT_TRUE(report.good()) << report.findings.front();
    // Whatever was committed is there; whatever is there is a whole run of the ring's sequence.
    ASSERT_GE(report.decisions, seen + 37);
    seen = report.decisions;
    EXPECT_FALSE(log->Append({kRing, seen}, "the last one"));
    EXPECT_TRUE(log->Append({kRing, seen + 1}, "the next one"));
  }
}

}  // namespace
}  // namespace countersign::audit
