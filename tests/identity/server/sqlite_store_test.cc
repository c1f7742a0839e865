// What only the SQLite backend promises: durability, and a sentence for every fault of its file.
#include "identity/server/sqlite_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <future>
#include <random>

#include "base/file.h"
#include "tests/support/sync_spy.h"
#include "tests/support/temp_dir.h"

namespace countersign::server {
namespace {

using testing::HasSubstr;

class SqliteStoreTest : public testing::Test {
 protected:
  std::unique_ptr<Store> Open(uint64_t pages_max = 0) {
    auto opened = OpenSqliteStore({path_, pages_max});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : nullptr;
  }
  static Status Put(Store& store, std::string key, std::string value) {
    std::vector<Operation> operations = {Operation::Put(std::move(key), std::move(value))};
    return store.Txn({}, operations, {}).status();
  }
  TempDir folder_;
  std::string path_ = folder_.File("store.db");
};

TEST_F(SqliteStoreTest, ReopenedStoreHasValuesRevisionsAndHistory) {
  {
    auto store = Open();
    ASSERT_TRUE(Put(*store, "a", "1").ok());
    ASSERT_TRUE(Put(*store, "b", "2").ok());
  }
  auto store = Open();
  EXPECT_EQ(*store->CurrentRevision(), (Revision{1, 2}));
  EXPECT_EQ((*store->Get("a"))->value, "1");
  std::promise<EventBatch> first;
  auto watching = store->Watch("b", {1, 1},
                               [&](const StatusOr<EventBatch>& batch) { first.set_value(*batch); });
  EXPECT_EQ(first.get_future().get().events[0].value, "2");
}

TEST_F(SqliteStoreTest, FileIsForItsOwnerAlone) {
  auto store = Open();
  struct stat facts = {};
  ASSERT_EQ(::stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
}

// A child writes pairs that must stay equal and says each number that was committed; it is killed
// at a random moment. What it said must be there, at most one more, and never half a pair.
TEST_F(SqliteStoreTest, KillAtAnyMomentLosesNothingThatWasAcknowledged) {
  std::mt19937 random(424242);
  uint64_t next = 1;
  for (int round = 0; round < 12; ++round) {
    int said[2];
    ASSERT_EQ(::pipe2(said, O_CLOEXEC), 0);
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = OpenSqliteStore({path_});
      for (uint64_t i = next; store.ok(); ++i) {
        std::vector<Operation> pair = {Operation::Put("left", Concat(i)),
                                       Operation::Put("right", Concat(i))};
        if (!(*store)->Txn({}, pair, {}).ok() || ::write(said[1], &i, sizeof(i)) != sizeof(i)) {
          break;
        }
      }
      ::_exit(1);
    }
    ::close(said[1]);
    uint64_t acknowledged = 0;
    size_t until = 1 + random() % 12;
    for (size_t i = 0; i < until; ++i) {
      ASSERT_EQ(::read(said[0], &acknowledged, sizeof(acknowledged)),
                static_cast<ssize_t>(sizeof(acknowledged)));
    }
    // A random moment inside the next transaction; the spin is the random moment, not a wait for
    // anything.
    auto moment = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 2000);
    while (std::chrono::steady_clock::now() < moment) {
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    while (::read(said[0], &acknowledged, sizeof(acknowledged)) > 0) {
    }
    ::close(said[0]);
    auto store = Open();
    ASSERT_NE(store, nullptr);
    std::string left = (*store->Get("left"))->value;
    EXPECT_EQ(left, (*store->Get("right"))->value);
    uint64_t stored = std::stoull(left);
    EXPECT_GE(stored, acknowledged);
    EXPECT_LE(stored, acknowledged + 1);
    EXPECT_EQ(store->CurrentRevision()->n, stored);
    next = stored + 1;
  }
}

TEST_F(SqliteStoreTest, DamagedFileIsRefusedAndLeftAsItIs) {
  {
    auto store = Open();
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(Put(*store, Concat("key", i), std::string(500, 'x')).ok());
    }
  }
  struct Row {
    const char* name;
    off_t at;
  };
  for (Row row : {Row{"the header", 0}, Row{"a page inside", 4096 * 3}}) {
    SCOPED_TRACE(row.name);
    std::string copy = folder_.File("damaged.db");
    ASSERT_TRUE(WriteFileAtomically(copy, *ReadFile(path_, 100 << 20), 0600).ok());
    Fd fd(::open(copy.c_str(), O_RDWR | O_CLOEXEC));
    std::string garbage(4096, '\x5a');
    ASSERT_EQ(::pwrite(fd.get(), garbage.data(), garbage.size(), row.at), 4096);
    std::string before = *ReadFile(copy, 100 << 20);
    auto opened = OpenSqliteStore({copy});
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.status().code(), StatusCode::kDataLoss) << opened.status();
    EXPECT_THAT(std::string(Message(opened.status())),
                testing::AllOf(HasSubstr("damaged"), HasSubstr("restore")));
    EXPECT_TRUE(before == *ReadFile(copy, 100 << 20));
  }
}

TEST_F(SqliteStoreTest, FullFileRefusesTheChangeAndKeepsWhatIsThere) {
  auto store = Open(24);
  ASSERT_TRUE(Put(*store, "small", "1").ok());
  Status full = Put(*store, "large", std::string(500 << 10, 'x'));
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(full)),
              testing::AllOf(HasSubstr("disk is full"), HasSubstr("free space")));
  EXPECT_EQ((*store->Get("small"))->value, "1");
  EXPECT_FALSE(store->Get("large")->has_value());
  EXPECT_EQ(*store->CurrentRevision(), (Revision{1, 1}));
  EXPECT_TRUE(Put(*store, "small", "2").ok());
}

// Mounts need root; without it the limit of pages in the test above stands in for the disk.
TEST_F(SqliteStoreTest, FullDiskRefusesTheChangeAndRecoversWhenThereIsRoom) {
  std::string mount = folder_.File("disk");
  ASSERT_TRUE(MakeFolder(mount, 0700).ok());
  if (::mount("none", mount.c_str(), "tmpfs", 0, "size=400k") != 0) {
    auto store = Open(30);
    EXPECT_EQ(Put(*store, "large", std::string(500 << 10, 'x')).code(),
              StatusCode::kResourceExhausted);
    return;
  }
  {
    auto opened = OpenSqliteStore({mount + "/store.db"});
    EXPECT_TRUE(opened.ok()) << opened.status();
    Status full;
    for (int i = 0; opened.ok() && full.ok() && i < 100; ++i) {
      full = Put(**opened, Concat("k", i), std::string(20 << 10, 'x'));
    }
    EXPECT_EQ(full.code(), StatusCode::kResourceExhausted) << full;
    EXPECT_TRUE((*opened)->Get("k0")->has_value());
    EXPECT_EQ(::mount("none", mount.c_str(), "tmpfs", MS_REMOUNT, "size=4m"), 0);
    EXPECT_TRUE(Put(**opened, "after", "1").ok());
  }
  ::umount2(mount.c_str(), MNT_DETACH);
}

TEST_F(SqliteStoreTest, ReadOnlyFolderIsASentence) {
  std::string mount = folder_.File("readonly");
  ASSERT_TRUE(MakeFolder(mount, 0700).ok());
  bool mounted = ::mount("none", mount.c_str(), "tmpfs", MS_RDONLY, "size=400k") == 0;
  if (!mounted) {
    ASSERT_EQ(::chmod(mount.c_str(), 0500), 0);
  }
  auto opened = OpenSqliteStore({mount + "/store.db"});
  EXPECT_EQ(opened.status().code(), StatusCode::kFailedPrecondition) << opened.status();
  EXPECT_THAT(std::string(Message(opened.status())), HasSubstr("read-write"));
  if (mounted) {
    ::umount2(mount.c_str(), MNT_DETACH);
  }
}

TEST_F(SqliteStoreTest, FileOfANewerFormatIsRefused) {
  Open().reset();
  // user_version lies at offset 60 of the header, big-endian.
  Fd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::pwrite(fd.get(), "\0\0\0\x63", 4, 60), 4);
  auto opened = OpenSqliteStore({path_});
  EXPECT_EQ(opened.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(opened.status())), HasSubstr("newer version"));
}

TEST_F(SqliteStoreTest, BackupOfAStoreInUseOpensWithTheSameContent) {
  auto store = Open();
  ASSERT_TRUE(Put(*store, "a", "1").ok());
  std::string copy = folder_.File("backup.db");
  ASSERT_TRUE(BackUpSqliteStore(path_, copy).ok());
  ASSERT_TRUE(Put(*store, "a", "2").ok());
  auto opened = OpenSqliteStore({copy});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*(*opened)->Get("a"))->value, "1");
  EXPECT_EQ(BackUpSqliteStore(path_, copy).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(BackUpSqliteStore(folder_.File("none"), folder_.File("x")).code(),
            StatusCode::kNotFound);
}

TEST_F(SqliteStoreTest, BackupIsDurableBeforeItIsCalledWritten) {
  auto store = Open();
  ASSERT_TRUE(Put(*store, "a", "1").ok());
  std::string copy = folder_.File("backup.db");
  SyncSpy spy;
  ASSERT_TRUE(BackUpSqliteStore(path_, copy).ok());
  std::set<std::string> synced = spy.synced();
  std::string whole = std::filesystem::canonical(copy).string();
  EXPECT_TRUE(std::any_of(synced.begin(), synced.end(), [&](const std::string& path) {
    return path.starts_with(whole + ".");
  })) << "the file, under the name that it has until it is whole";
  EXPECT_TRUE(synced.contains(std::filesystem::path(whole).parent_path().string()));
}

TEST_F(SqliteStoreTest, BackupThatCannotBeWrittenLeavesNothingThatLooksLikeOne) {
  auto store = Open();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(Put(*store, Concat("k", i), std::string(20 << 10, 'x')).ok());
  }
  std::string mount = folder_.File("small");
  ASSERT_TRUE(MakeFolder(mount, 0700).ok());
  ASSERT_EQ(::mount("none", mount.c_str(), "tmpfs", 0, "size=100k"), 0)
      << "this test mounts a small file system, and needs root for that";
  Status full = BackUpSqliteStore(path_, mount + "/backup.db");
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted) << full;
  EXPECT_TRUE(std::filesystem::is_empty(mount));
  ::umount2(mount.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace countersign::server
