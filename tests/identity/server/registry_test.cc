#include "identity/server/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "tests/identity/server/documents.h"
#include "tests/support/memory_store.h"

namespace countersign::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// FaultyStore is a store whose next reads of one key fail, as those of a failing disk do.
class FaultyStore final : public Store {
 public:
  explicit FaultyStore(Store& store) : store_(store) {}
  std::atomic<int> gets_to_fail = 0;

  StatusOr<std::optional<Entry>> Get(std::string_view key) override {
    if (gets_to_fail > 0) {
      --gets_to_fail;
      return Unavailable("the disk fails");
    }
    return store_.Get(key);
  }
  StatusOr<Listing> List(std::string_view prefix) override { return store_.List(prefix); }
  StatusOr<TxnResult> Txn(std::span<const Compare> compare, std::span<const Operation> then,
                          std::span<const Operation> otherwise) override {
    return store_.Txn(compare, then, otherwise);
  }
  StatusOr<std::unique_ptr<Watching>> Watch(std::string_view prefix, Revision from,
                                            WatchCallback callback) override {
    return store_.Watch(prefix, from, std::move(callback));
  }
  Status Compact(Revision before) override { return store_.Compact(before); }
  Status BeginTerm() override { return store_.BeginTerm(); }
  StatusOr<Revision> CurrentRevision() override { return store_.CurrentRevision(); }

 private:
  Store& store_;
};

class RegistryTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    registry_.reset();
    auto opened = Registry::Open(*store_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    registry_ = *std::move(opened);
  }
  static RegistryChange Registrations(const std::vector<std::string>& names) {
    RegistryChange change;
    for (const std::string& name : names) {
      auto loaded = authz::Load(Files(RegistrationYaml(name)));
      change.documents.push_back(
          {std::string(kRegistrationKind), name, loaded.registrations.at(0).canonical_json});
    }
    return change;
  }
  static RegistryChange Set(const std::string& name, const std::string& path) {
    auto loaded = authz::Load(Files(SetYaml(name, path)));
    RegistryChange change;
    SetChange& set = change.sets.emplace_back();
    set.version.set = name;
    set.version.digest = loaded.sets.at(0)->digest;
    set.version.documents = loaded.sets.at(0)->canonical_documents;
    set.version.author = "unix:root";
    return change;
  }
  static RegistryChange RemoveSet(const std::string& name) {
    RegistryChange change;
    change.sets.emplace_back().version.set = name;
    change.sets.back().remove = true;
    return change;
  }
  Revision Commit(const RegistryChange& change) {
    auto committed = registry_->Commit(*registry_->state(), change);
    EXPECT_TRUE(committed.ok()) << committed.status();
    return committed.ok() ? committed->revision : Revision();
  }
  std::vector<uint64_t> Versions(std::string_view set) {
    std::vector<uint64_t> versions;
    std::vector<PolicySetVersion> history = *registry_->History(set);
    for (const PolicySetVersion& version : history) {
      versions.push_back(version.version);
    }
    return versions;
  }

  std::unique_ptr<Store> store_ = MakeMemoryStore();
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, CommittedChangeIsSeenAtOnceAndAfterAReopen) {
  Revision revision = Commit(Registrations({"web", "orders"}));
  EXPECT_EQ(registry_->state()->revision, revision);
  EXPECT_EQ(registry_->state()->registrations.at("web")->value.id,
            "spiffe://shop.example/ns/prod/sa/web");
  Reopen();
  EXPECT_EQ(registry_->state()->revision, revision);
  EXPECT_EQ(registry_->state()->registrations.size(), 2u);
  RegistryChange removal;
  removal.documents.push_back({std::string(kRegistrationKind), "web", ""});
  Commit(removal);
  EXPECT_EQ(registry_->state()->registrations.size(), 1u);
}

TEST_F(RegistryTest, ChangeOnAnOutdatedBasisIsAborted) {
  Registry::State basis = registry_->state();
  Commit(Registrations({"web"}));
  EXPECT_EQ(registry_->Commit(*basis, Registrations({"orders"})).status().code(),
            StatusCode::kAborted);
  EXPECT_FALSE(registry_->state()->registrations.contains("orders"));
}

TEST_F(RegistryTest, ObserverSeesEachStateInOrder) {
  std::vector<Revision> seen;
  std::mutex mutex;
  registry_->Observe([&](const Registry::State& state) {
    std::lock_guard lock(mutex);
    seen.push_back(state->revision);
  });
  Commit(Registrations({"a"}));
  Commit(Registrations({"b"}));
  registry_.reset();  // Ends the registry's thread.
  ASSERT_GE(seen.size(), 2u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), (Revision{1, 2}));
}

TEST_F(RegistryTest, SetHasVersionsThatNeverGoBack) {
  Commit(Set("shop", "/orders/**"));
  Commit(Set("shop", "/**"));
  EXPECT_THAT(Versions("shop"), ElementsAre(2, 1));
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 2u);
  EXPECT_EQ(registry_->Version("shop", 1)->documents.size(), 3u);
  Commit(RemoveSet("shop"));
  EXPECT_FALSE(registry_->state()->sets.contains("shop"));
  EXPECT_THAT(Versions("shop"), ElementsAre(2, 1));
  Commit(Set("shop", "/orders/**"));
  EXPECT_THAT(Versions("shop"), ElementsAre(3, 2, 1));
  Reopen();
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 3u);
  EXPECT_EQ(registry_->Version("shop", 9).status().code(), StatusCode::kNotFound);
}

TEST_F(RegistryTest, SetsOfSimilarNamesHaveHistoriesOfTheirOwn) {
  Commit(Set("shop", "/**"));
  Commit(Set("shop-2", "/**"));
  EXPECT_THAT(Versions("shop"), ElementsAre(1));
}

TEST_F(RegistryTest, TheOldestVersionsOfASetGoFirst) {
  RegistryChange change = Set("shop", "/orders/**");
  for (size_t i = 0; i < RegistryLimits::kVersionsMax + 2; ++i) {
    Commit(change);
  }
  std::vector<uint64_t> versions = Versions("shop");
  ASSERT_EQ(versions.size(), RegistryLimits::kVersionsMax);
  EXPECT_EQ(versions.front(), RegistryLimits::kVersionsMax + 2);
  EXPECT_EQ(versions.back(), 3u);
}

TEST_F(RegistryTest, ChangeThatIsTooLargeNamesTheLimitAndStoresNothing) {
  std::vector<std::string> names;
  for (size_t i = 0; i <= RegistryLimits::kDocumentsMax; ++i) {
    names.push_back(Concat("r", i));
  }
  Status status = registry_->Commit(*registry_->state(), Registrations(names)).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(status)), HasSubstr(Concat(RegistryLimits::kDocumentsMax)));
  EXPECT_TRUE(registry_->state()->registrations.empty());
  names.pop_back();
  Commit(Registrations(names));
}

TEST_F(RegistryTest, DocumentThatDoesNotLoadStopsTheStart) {
  Commit(Registrations({"web"}));
  std::vector<Operation> spoil = {Operation::Put("registry/registration/web", "{}")};
  registry_.reset();
  ASSERT_TRUE(store_->Txn({}, spoil, {}).ok());
  auto opened = Registry::Open(*store_);
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(std::string(Message(opened.status())), HasSubstr("registry/registration/web"));
}

TEST_F(RegistryTest, ChunkThatWasTamperedWithStopsTheStart) {
  Commit(Set("shop", "/orders/**"));
  Listing chunks = *store_->List("chunk/");
  ASSERT_EQ(chunks.entries.size(), 1u);
  std::string content = chunks.entries[0].value;
  content.replace(content.find("/orders"), 7, "/secret");
  std::vector<Operation> spoil = {Operation::Put(chunks.entries[0].key, content)};
  registry_.reset();
  ASSERT_TRUE(store_->Txn({}, spoil, {}).ok());
  EXPECT_EQ(Registry::Open(*store_).status().code(), StatusCode::kDataLoss);
}

TEST_F(RegistryTest, RestoredStoreHasARevisionThatNobodyHasSeen) {
  Revision before = Commit(Registrations({"web"}));
  registry_.reset();
  ASSERT_TRUE(store_->BeginTerm().ok());
  Reopen();
  EXPECT_GT(registry_->state()->revision, before);
  EXPECT_EQ(registry_->state()->revision.term, 2u);
  EXPECT_TRUE(registry_->state()->registrations.contains("web"));
}

TEST_F(RegistryTest, ChunksThatNoVersionNamesAreCollected) {
  Commit(Set("shop", "/orders/**"));
  std::vector<Operation> orphan = {Operation::Put("chunk/00", "left by a crash")};
  ASSERT_TRUE(store_->Txn({}, orphan, {}).ok());
  ASSERT_TRUE(registry_->CollectGarbage().ok());
  EXPECT_EQ(store_->List("chunk/")->entries.size(), 1u);
  Reopen();
}

// A policy that narrows access must not be lost because the store could not be read for a moment.
TEST_F(RegistryTest, ChangeThatCouldNotBeReadIsReadAgainAndNeverLeftOut) {
  FaultyStore faulty(*store_);
  registry_ = *Registry::Open(faulty);
  faulty.gets_to_fail = 1;
  Revision revision = Commit(Set("shop", "/orders/**"));
  EXPECT_EQ(registry_->state()->revision, revision);
  EXPECT_TRUE(registry_->state()->sets.contains("shop"));
  faulty.gets_to_fail = 2;  // The second look fails too.
  Commit(Set("shop", "/**"));
  Commit(Registrations({"web"}));
  EXPECT_EQ(registry_->state()->sets.at("shop")->version.version, 2u);
  registry_.reset();  // Before the store that it uses.
}

}  // namespace
}  // namespace countersign::server
