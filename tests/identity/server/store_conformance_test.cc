// What every backend of Store must do. A new backend adds one line to Backends().
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "identity/server/sqlite_store.h"
#include "identity/server/store.h"
#include "tests/support/memory_store.h"
#include "tests/support/temp_dir.h"

namespace countersign::server {
namespace {

struct Backend {
  std::string name;
  StatusOr<std::unique_ptr<Store>> (*open)(const std::string& folder);
};

std::vector<Backend> Backends() {
  return {{"Memory",
           [](const std::string&) { return StatusOr<std::unique_ptr<Store>>(MakeMemoryStore()); }},
          {"Sqlite",
           [](const std::string& folder) { return OpenSqliteStore({folder + "/store.db"}); }}};
}

// Collects what a watcher is told.
class Told {
 public:
  Store::WatchCallback Callback() {
    return [this](const StatusOr<EventBatch>& batch) {
      std::lock_guard lock(mutex_);
      if (batch.ok()) {
        batches_.push_back(*batch);
      } else {
        end_ = batch.status();
      }
      changed_.notify_all();
    };
  }
  // Waits until `count` batches have come; what came after 20 s is what is returned.
  std::vector<EventBatch> Wait(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return batches_.size() >= count; });
    return batches_;
  }
  Status WaitForEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return !end_.ok(); });
    return end_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<EventBatch> batches_;
  Status end_;
};

class StoreConformanceTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    auto opened = GetParam().open(folder_.path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
  }
  TxnResult Do(std::vector<Compare> compare, std::vector<Operation> then,
               std::vector<Operation> otherwise = {}) {
    auto result = store_->Txn(compare, then, otherwise);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : TxnResult{};
  }
  TxnResult Put(std::string key, std::string value) {
    return Do({}, {Operation::Put(std::move(key), std::move(value))});
  }
  std::string Value(std::string_view key) {
    auto entry = store_->Get(key);
    return entry.ok() && entry->has_value() ? (*entry)->value : "<none>";
  }
  std::vector<std::string> Keys(std::string_view prefix) {
    std::vector<std::string> keys;
    Listing listing = *store_->List(prefix);
    for (const Entry& entry : listing.entries) {
      keys.push_back(entry.key);
    }
    return keys;
  }

  TempDir folder_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreConformanceTest, NewStoreIsEmptyAtTheFirstTerm) {
  EXPECT_EQ(*store_->CurrentRevision(), (Revision{1, 0}));
  EXPECT_FALSE(store_->Get("a")->has_value());
  EXPECT_TRUE(store_->List("")->entries.empty());
}

TEST_P(StoreConformanceTest, EachChangeHasARevisionOfItsOwn) {
  EXPECT_EQ(Put("a", "1").revision, (Revision{1, 1}));
  EXPECT_EQ(Put("b", "2").revision, (Revision{1, 2}));
  auto a = store_->Get("a");
  ASSERT_TRUE(a.ok() && a->has_value());
  EXPECT_EQ((*a)->value, "1");
  EXPECT_EQ((*a)->modified, (Revision{1, 1}));
}

TEST_P(StoreConformanceTest, ReadingAndDeletingNothingMakeNoRevision) {
  Put("a", "1");
  EXPECT_EQ(Do({}, {Operation::Get("a"), Operation::Delete("none")}).revision, (Revision{1, 1}));
}

TEST_P(StoreConformanceTest, ValuesAreBytes) {
  std::string bytes("\0\xff\n'\"", 5);
  Put(bytes, bytes);
  Put("empty", "");
  EXPECT_EQ(Value(bytes), bytes);
  EXPECT_EQ(Value("empty"), "");
}

TEST_P(StoreConformanceTest, ListTakesExactlyThePrefixInOrder) {
  for (const char* key : {"a", "a/", "a/2", "a/1", "a0", "b/1", "a/\xff\xff"}) {
    Put(key, "x");
  }
  EXPECT_THAT(Keys("a/"), testing::ElementsAre("a/", "a/1", "a/2", "a/\xff\xff"));
  EXPECT_THAT(Keys("a/\xff"), testing::ElementsAre("a/\xff\xff"));
  EXPECT_EQ(Keys("").size(), 7u);
  EXPECT_THAT(Keys("c"), testing::IsEmpty());
  EXPECT_EQ(store_->List("c")->revision, (Revision{1, 7}));
}

TEST_P(StoreConformanceTest, ComparisonDecidesWhichBranchRuns) {
  Revision first = Put("a", "1").revision;
  TxnResult stale = Do({{"a", {1, 99}}}, {Operation::Put("a", "wrong")}, {Operation::Get("a")});
  EXPECT_FALSE(stale.succeeded);
  ASSERT_EQ(stale.gets.size(), 1u);
  EXPECT_EQ(stale.gets[0]->value, "1");
  EXPECT_EQ(Value("a"), "1");
  EXPECT_TRUE(Do({{"a", first}}, {Operation::Put("a", "2")}).succeeded);
  EXPECT_EQ(Value("a"), "2");
}

TEST_P(StoreConformanceTest, ComparisonWithZeroMeansAbsent) {
  EXPECT_TRUE(Do({{"a", {}}}, {Operation::Put("a", "1")}).succeeded);
  EXPECT_FALSE(Do({{"a", {}}}, {Operation::Put("a", "2")}).succeeded);
  Do({}, {Operation::Delete("a")});
  EXPECT_TRUE(Do({{"a", {}}}, {Operation::Put("a", "3")}).succeeded);
}

TEST_P(StoreConformanceTest, OneFailedComparisonOfManyStopsAll) {
  Revision a = Put("a", "1").revision;
  EXPECT_FALSE(
      Do({{"a", a}, {"b", a}}, {Operation::Put("a", "2"), Operation::Put("c", "3")}).succeeded);
  EXPECT_EQ(Value("a"), "1");
  EXPECT_EQ(Value("c"), "<none>");
}

TEST_P(StoreConformanceTest, TransactionOverALimitChangesNothing) {
  std::vector<Operation> many;
  for (size_t i = 0; i <= StoreLimits::kOperationsMax; ++i) {
    many.push_back(Operation::Put(Concat("k", i), "x"));
  }
  EXPECT_EQ(store_->Txn({}, many, {}).status().code(), StatusCode::kInvalidArgument);
  many.pop_back();
  EXPECT_TRUE(store_->Txn({}, many, {}).ok());
  std::vector<Operation> large = {
      Operation::Put("l", std::string(StoreLimits::kTransactionBytesMax, 'x'))};
  EXPECT_EQ(store_->Txn({}, large, {}).status().code(), StatusCode::kInvalidArgument);
  std::vector<Operation> twice = {Operation::Put("t", "1"), Operation::Delete("t")};
  EXPECT_EQ(store_->Txn({}, twice, {}).status().code(), StatusCode::kInvalidArgument);
  std::vector<Operation> unnamed = {Operation::Put("", "1")};
  EXPECT_EQ(store_->Txn({}, unnamed, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(*store_->CurrentRevision(), (Revision{1, 1}));
}

TEST_P(StoreConformanceTest, AKeyHasAtMostItsLimitInComparisonsAndOperations) {
  const std::string longest(StoreLimits::kKeyBytesMax, 'k');
  EXPECT_TRUE(Do({{longest, {}}}, {Operation::Put(longest, "1")}).succeeded);
  EXPECT_EQ(Value(longest), "1");
  const std::string longer = longest + "k";
  for (const Operation& operation :
       {Operation::Put(longer, "1"), Operation::Get(longer), Operation::Delete(longer)}) {
    auto refused = store_->Txn({}, std::span(&operation, 1), {});
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(store_->Txn({}, {}, std::span(&operation, 1)).status().code(),
              StatusCode::kInvalidArgument);
  }
  const Compare compare{longer, {}};
  EXPECT_EQ(store_->Txn(std::span(&compare, 1), {}, {}).status().code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(*store_->CurrentRevision(), (Revision{1, 1}));
}

TEST_P(StoreConformanceTest, OfTwoThreadsThatCompareAndSwapNoneOverwritesTheOther) {
  constexpr int kEach = 60;
  Put("count", "0");
  auto count_up = [&] {
    for (int done = 0; done < kEach;) {
      auto entry = store_->Get("count");
      ASSERT_TRUE(entry.ok() && entry->has_value());
      const Compare unchanged{"count", (*entry)->modified};
      const Operation next = Operation::Put("count", Concat(std::stoi((*entry)->value) + 1));
      auto swapped = store_->Txn(std::span(&unchanged, 1), std::span(&next, 1), {});
      ASSERT_TRUE(swapped.ok()) << swapped.status();
      done += swapped->succeeded ? 1 : 0;
    }
  };
  std::thread one(count_up);
  std::thread other(count_up);
  one.join();
  other.join();
  EXPECT_EQ(Value("count"), Concat(2 * kEach));
  EXPECT_EQ(*store_->CurrentRevision(), (Revision{1, 1 + 2 * kEach}));
}

TEST_P(StoreConformanceTest, WatcherGetsHistoryThenChangesWithoutAGap) {
  Put("w/a", "1");
  Put("w/b", "2");
  Told told;
  auto watching = store_->Watch("w/", {1, 1}, told.Callback());
  ASSERT_TRUE(watching.ok()) << watching.status();
  Put("other", "x");
  Do({}, {Operation::Delete("w/a"), Operation::Put("w/c", "3"), Operation::Put("x", "y")});
  std::vector<EventBatch> batches = told.Wait(2);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].revision, (Revision{1, 2}));
  EXPECT_EQ(batches[0].events[0].key, "w/b");
  EXPECT_EQ(batches[1].revision, (Revision{1, 4}));
  ASSERT_EQ(batches[1].events.size(), 2u);
  EXPECT_EQ(batches[1].events[0].kind, Event::Kind::kDelete);
  EXPECT_EQ(batches[1].events[1].value, "3");
}

TEST_P(StoreConformanceTest, EndedWatchIsToldNothingMore) {
  Told told;
  auto watching = store_->Watch("", {1, 0}, told.Callback());
  Put("a", "1");
  EXPECT_EQ(told.Wait(1).size(), 1u);
  watching->reset();
  Told later;
  auto second = store_->Watch("", {1, 1}, later.Callback());
  Put("b", "2");
  EXPECT_EQ(later.Wait(1).size(), 1u);  // The hub serves in order, so `told` had its turn.
  EXPECT_EQ(told.Wait(1).size(), 1u);
}

TEST_P(StoreConformanceTest, WatchFromForgottenOrFutureHistoryIsRefused) {
  Put("a", "1");
  Put("a", "2");
  Put("a", "3");
  ASSERT_TRUE(store_->Compact({1, 2}).ok());
  Told told;
  EXPECT_EQ(store_->Watch("", {1, 1}, told.Callback()).status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(store_->Watch("", {1, 4}, told.Callback()).status().code(), StatusCode::kOutOfRange);
  auto watching = store_->Watch("", {1, 2}, told.Callback());
  ASSERT_TRUE(watching.ok()) << watching.status();
  EXPECT_EQ(told.Wait(1).size(), 1u);
  EXPECT_EQ(Value("a"), "3");
  EXPECT_EQ(store_->Compact({1, 9}).code(), StatusCode::kInvalidArgument);
}

TEST_P(StoreConformanceTest, NewTermIsAfterEveryEarlierRevision) {
  Revision before = Put("a", "1").revision;
  ASSERT_TRUE(store_->BeginTerm().ok());
  Revision after = Put("b", "2").revision;
  EXPECT_EQ(after, (Revision{2, 1}));
  EXPECT_GT(after, before);
  EXPECT_EQ((*store_->Get("a"))->modified, before);
  Told told;
  EXPECT_EQ(store_->Watch("", before, told.Callback()).status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(store_->Watch("", {1, 90}, told.Callback()).status().code(), StatusCode::kOutOfRange);
}

TEST_P(StoreConformanceTest, SlowWatcherIsToldThatItMustListAgain) {
  std::mutex gate;
  Told told;
  std::unique_lock closed(gate);
  auto slow = store_->Watch("", {1, 0}, [&](const StatusOr<EventBatch>& batch) {
    std::lock_guard wait(gate);
    told.Callback()(batch);
  });
  std::vector<Operation> many;
  for (size_t i = 0; i < StoreLimits::kOperationsMax; ++i) {
    many.push_back(Operation::Put(Concat("k", i), ""));
  }
  for (size_t i = 0; i < StoreLimits::kWatchBacklogMax / StoreLimits::kOperationsMax + 2; ++i) {
    ASSERT_TRUE(store_->Txn({}, many, {}).ok());
  }
  closed.unlock();
  EXPECT_EQ(told.WaitForEnd().code(), StatusCode::kOutOfRange);
}

// The store against the simplest model of itself, over random transactions of one seed.
TEST_P(StoreConformanceTest, AgreesWithAModelOverRandomTransactions) {
  std::mt19937 random(20240607);
  std::map<std::string, Entry> model;
  Revision revision{1, 0};
  for (int round = 0; round < 400; ++round) {
    auto key = [&] { return Concat("k", random() % 8); };
    std::string compared = key();
    Revision expected = model.contains(compared) ? model[compared].modified : Revision();
    bool holds = random() % 4 != 0;
    std::map<std::string, Operation> operations;
    for (size_t i = random() % 4; i > 0; --i) {
      std::string name = key();
      operations[name] =
          random() % 3 == 0 ? Operation::Delete(name) : Operation::Put(name, Concat("v", round));
    }
    std::vector<Operation> list;
    bool changes = false;
    for (auto& [name, operation] : operations) {
      changes |= operation.kind == Operation::Kind::kPut || model.contains(name);
      list.push_back(operation);
    }
    TxnResult result = Do({{compared, holds ? expected : Revision{7, 7}}}, list);
    ASSERT_EQ(result.succeeded, holds);
    if (holds && changes) {
      revision.n++;
      for (const Operation& operation : list) {
        if (operation.kind == Operation::Kind::kPut) {
          model[operation.key] = {operation.key, operation.value, revision};
        } else {
          model.erase(operation.key);
        }
      }
    }
    ASSERT_EQ(result.revision, revision);
    auto listing = store_->List("");
    ASSERT_TRUE(listing.ok());
    ASSERT_TRUE(std::equal(listing->entries.begin(), listing->entries.end(), model.begin(),
                           model.end(), [](const Entry& entry, const auto& pair) {
                             return entry.key == pair.first && entry.value == pair.second.value &&
                                    entry.modified == pair.second.modified;
                           }));
  }
}

INSTANTIATE_TEST_SUITE_P(All, StoreConformanceTest, testing::ValuesIn(Backends()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace countersign::server
