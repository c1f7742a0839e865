#include "audit/query/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <nlohmann/json.hpp>
#include <set>

#include "audit/query/explain.h"
#include "audit/query/record_json.h"
#include "base/crypto/hash.h"
#include "tests/audit/log_fixture.h"

namespace countersign::audit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Json = nlohmann::json;

constexpr const char* kWeb = "spiffe://shop.example/ns/prod/sa/web";
constexpr const char* kOrders = "spiffe://shop.example/ns/prod/sa/orders";

class SearchTest : public LogFixture {
 protected:
  void SetUp() override { log_ = Open(); }

  // Put appends a decision with its completion and commits.
  void Put(uint64_t number, const std::function<void(DecisionRecord&)>& change) {
    SampleDecision sample;
    sample.record.id = IdOf(number);
    sample.record.connection_id = number;
    change(sample.record);
    log_->Append({kRing, ++sequence_}, EncodeToString(sample.record));
    CompletionRecord done;
    done.id = sample.record.id;
    done.status = 403;
    log_->Append({kRing, ++sequence_}, EncodeToString(done));
    ASSERT_TRUE(log_->Commit().ok());
  }
  LogSearcher Searcher() {
    StatusOr<LogSearcher> searcher = LogSearcher::Open(folder_);
    CHECK(searcher.ok());
    return *std::move(searcher);
  }
  std::vector<uint64_t> Find(const SearchQuery& query) {
    StatusOr<std::vector<FoundDecision>> found = Searcher().Search(query);
    CHECK(found.ok());
    std::vector<uint64_t> numbers;
    for (const FoundDecision& hit : *found) {
      numbers.push_back(hit.decision.record.decision()->connection_id);
    }
    return numbers;
  }
  void PutFour() {
    Put(1, [](DecisionRecord&) {});
    Put(2, [](DecisionRecord& r) {
      r.effect = authz::Effect::kAllow;
      r.reason = authz::Reason::kAllowRule;
      r.rule = "shop/orders/storefront-reads";
      r.time_ns += 1'000'000'000;
    });
    Put(3, [](DecisionRecord& r) {
      r.caller = kOrders;
      r.callee = kWeb;
      r.path = "/cart";
      r.time_ns += 2'000'000'000;
    });
    Put(4, [](DecisionRecord& r) {
      r.caller = "";
      r.reason = authz::Reason::kDenyRule;
      r.path = "/orders-admin";
      r.time_ns += 3'000'000'000;
    });
  }
  std::unique_ptr<NodeLog> log_;
  uint64_t sequence_ = 0;
};

TEST_F(SearchTest, FindsByEachField) {
  PutFour();
  SearchQuery query;
  EXPECT_THAT(Find(query), ElementsAre(1, 2, 3, 4));
  query.caller = kWeb;
  EXPECT_THAT(Find(query), ElementsAre(1, 2));
  query = {};
  query.callee = kWeb;
  EXPECT_THAT(Find(query), ElementsAre(3));
  query = {};
  query.rule = "shop/orders/storefront-reads";
  EXPECT_THAT(Find(query), ElementsAre(2));
  query = {};
  query.effect = authz::Effect::kDeny;
  EXPECT_THAT(Find(query), ElementsAre(1, 3, 4));
  query.effect = authz::Effect::kAllow;
  EXPECT_THAT(Find(query), ElementsAre(2));
  query = {};
  query.reason = authz::Reason::kDenyRule;
  EXPECT_THAT(Find(query), ElementsAre(4));
  query = {};
  query.path_prefix = "/orders";
  EXPECT_THAT(Find(query), ElementsAre(1, 2, 4));
  query.path_prefix = "/orders/";
  EXPECT_THAT(Find(query), ElementsAre(1, 2));
  query = {};
  SampleDecision sample;
  WallTime first{std::chrono::nanoseconds(sample.record.time_ns)};
  query.since = first + std::chrono::seconds(1);
  query.until = first + std::chrono::seconds(3);
  EXPECT_THAT(Find(query), ElementsAre(2, 3));
  query.path_prefix = "/cart";
  query.caller = kOrders;
  query.effect = authz::Effect::kDeny;
  EXPECT_THAT(Find(query), ElementsAre(3)) << "all conditions hold together";
}

TEST_F(SearchTest, GivesTheNewestUnderTheLimit) {
  PutFour();
  SearchQuery query;
  query.limit = 2;
  EXPECT_THAT(Find(query), ElementsAre(3, 4));
}

TEST_F(SearchTest, AQuoteInAValueIsOnlyAValue) {
  PutFour();
  SearchQuery query;
  query.caller = "x' OR '1'='1";
  EXPECT_THAT(Find(query), ElementsAre());
}

TEST_F(SearchTest, SeesWhatWasAddedSinceTheLastSearch) {
  Put(1, [](DecisionRecord&) {});
  EXPECT_THAT(Find({}), ElementsAre(1));
  Put(2, [](DecisionRecord&) {});
  EXPECT_THAT(Find({}), ElementsAre(1, 2));
}

TEST_F(SearchTest, GivesTheCompletionWithItsDecision) {
  Put(1, [](DecisionRecord&) {});
  StatusOr<FoundDecision> found = Searcher().Find(IdOf(1));
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_NE(found->completion(), nullptr);
  EXPECT_EQ(found->completion()->status, 403);
  EXPECT_EQ(Searcher().Find(IdOf(9)).status().code(), StatusCode::kNotFound);
}

// A caller that was denied knows the decision's id, and may own a proxy on the same node.
TEST_F(SearchTest, AnotherRingsWordOnADecisionIsNotBelieved) {
  PutFour();
  const RingId other = {8, 8, 8};
  CompletionRecord forged;
  forged.id = IdOf(2);
  forged.status = 200;
  log_->Append({other, 1}, EncodeToString(forged));
  ASSERT_TRUE(log_->Commit().ok());
  StatusOr<FoundDecision> found = Searcher().Find(IdOf(2));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->completion() == nullptr || found->completion()->status == 403);

  SampleDecision again;
  again.record.id = IdOf(3);
  again.record.effect = authz::Effect::kAllow;
  log_->Append({other, 2}, EncodeToString(again.record));
  ASSERT_TRUE(log_->Commit().ok());
  EXPECT_THAT(std::string(Message(Searcher().Find(IdOf(3)).status())),
              HasSubstr("both claim to be decision"));
  EXPECT_TRUE(Searcher().Find(IdOf(4)).ok());
}

// An index of earlier versions, or one that somebody put there to hide a record.
TEST_F(SearchTest, NoFileBesideTheLogCanHideARecord) {
  PutFour();
  std::filesystem::path index = Path("index.sqlite");
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(index.c_str(), &db), SQLITE_OK);
  std::string root(reinterpret_cast<const char*>(Searcher().reader().checkpoint().root.data()), 32);
  std::string hex = HexLower(root);
  std::string sql = Concat(
      "CREATE TABLE place (one INTEGER PRIMARY KEY, size INTEGER, root BLOB);"
      "CREATE TABLE decision (entry INTEGER PRIMARY KEY, id BLOB, time INTEGER, caller TEXT,"
      "  callee TEXT, rule TEXT, effect INTEGER, reason INTEGER, path BLOB);"
      "CREATE TABLE completion (entry INTEGER PRIMARY KEY, id BLOB);"
      "INSERT INTO place VALUES (1, ",
      Searcher().reader().size(), ", x'", hex, "');");
  ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  ASSERT_EQ(sqlite3_close(db), SQLITE_OK);
  SearchQuery query;
  query.effect = authz::Effect::kDeny;
  EXPECT_THAT(Find(query), ElementsAre(1, 3, 4)) << "the index says that there is nothing";
  EXPECT_TRUE(Searcher().Find(IdOf(3)).ok());
}

TEST_F(SearchTest, LeavesTheFolderAsItIs) {
  PutFour();
  auto files = [this] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      names.insert(entry.path().string());
    }
    return names;
  };
  auto before = files();
  EXPECT_THAT(Find({}), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(files(), before);
}

// Whatever is altered, nothing is found rather than all but what was hidden.
TEST_F(SearchTest, SaysSoWhenTheRecordsAreNotThoseThatWereSigned) {
  PutFour();
  std::string name = BundleName(kEntriesLevel, 0);
  std::string bundle = Read(name);
  std::vector<std::string_view> entries = SplitBundle(bundle, kTileWidth);
  auto expect_refused = [this](const char* what) {
    SearchQuery query;
    query.caller = kOrders;
    Status status = Searcher().Search(query).status();
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << what;
    EXPECT_THAT(std::string(Message(status)), HasSubstr("countersign audit verify")) << what;
    EXPECT_EQ(Searcher().Find(IdOf(9)).status().code(), StatusCode::kDataLoss) << what;
  };
  // The record is replaced by another whole and valid one.
  std::string replaced;
  std::string removed;
  for (size_t i = 0; i < entries.size(); ++i) {
    AppendFramed(i == 4 ? entries[0] : entries[i], replaced);
    if (i != 4) {
      AppendFramed(entries[i], removed);
    }
  }
  Write(name, replaced);
  expect_refused("replaced");
  Write(name, removed);
  expect_refused("removed");
  AppendFramed(entries[7], removed);
  Write(name, removed);
  expect_refused("removed, another one doubled");
  Write(name, bundle.substr(0, bundle.size() - 1));
  expect_refused("cut");
  Write(name, bundle);
  EXPECT_THAT(Find({}), ElementsAre(1, 2, 3, 4));
}

TEST_F(SearchTest, ATrustedKeyIsAskedInsteadOfTheOneBesideTheLog) {
  PutFour();
  std::string vkey = Read(kVerifierKeyFile);
  EXPECT_TRUE(LogSearcher::Open(folder_, vkey).ok());
  Write(kVerifierKeyFile, "elsewhere");
  EXPECT_TRUE(LogSearcher::Open(folder_, vkey).ok());
  auto key = Ed25519PrivateKey::Generate();
  ASSERT_TRUE(key.ok());
  std::string other = NoteVerifierKey::Make({kOrigin, key->public_key()})->ToString();
  EXPECT_FALSE(LogSearcher::Open(folder_, other).ok());
}

TEST_F(SearchTest, CrossesBundlesAndKeepsCompletionsWithTheirDecisions) {
  for (uint64_t number = 0; number < 700; ++number) {
    Put(number, [number](DecisionRecord& r) { r.caller = number % 100 == 7 ? kOrders : kWeb; });
  }
  SearchQuery query;
  query.caller = kOrders;
  EXPECT_THAT(Find(query), ElementsAre(7, 107, 207, 307, 407, 507, 607));
  query.limit = 3;
  EXPECT_THAT(Find(query), ElementsAre(407, 507, 607));
  StatusOr<std::vector<FoundDecision>> found = Searcher().Search(query);
  ASSERT_TRUE(found.ok());
  for (const FoundDecision& hit : *found) {
    ASSERT_NE(hit.completion(), nullptr);
    EXPECT_EQ(hit.completion()->id, hit.decision.record.decision()->id);
  }
  query.limit = 0;
  EXPECT_THAT(Find(query), ElementsAre());
}

TEST_F(SearchTest, ALimitOverTheLimitIsRefused) {
  PutFour();
  SearchQuery query;
  query.limit = SearchLimits::kFoundMax;
  EXPECT_TRUE(Searcher().Search(query).ok());
  query.limit = SearchLimits::kFoundMax + 1;
  EXPECT_THAT(std::string(Message(Searcher().Search(query).status())), HasSubstr("at most 100000"));
}

TEST_F(SearchTest, JsonHoldsEveryFact) {
  Put(1, [](DecisionRecord&) {});
  StatusOr<FoundDecision> found = Searcher().Find(IdOf(1));
  ASSERT_TRUE(found.ok());
  Json json = Json::parse(RecordJson(found->decision, found->completion()));
  EXPECT_EQ(json["type"], "decision");
  EXPECT_EQ(json["decision_id"], DecisionIdText(IdOf(1)));
  EXPECT_EQ(json["caller"], kWeb);
  EXPECT_EQ(json["callee"], kOrders);
  EXPECT_EQ(json["peer_ip"], "10.1.2.3");
  EXPECT_EQ(json["effect"], "deny");
  EXPECT_EQ(json["would_be"], "allow");
  EXPECT_EQ(json["reason"], "no_rule_matched");
  EXPECT_EQ(json["matched"].size(), 2U);
  EXPECT_EQ(json["nearest_miss"]["rule"], "shop/orders/storefront-reads");
  EXPECT_EQ(json["nearest_miss"]["field"], authz::FieldName(authz::Field::kMethod));
  EXPECT_THAT(json["policies"][0]["digest"].get<std::string>(), testing::StartsWith("abab"));
  EXPECT_EQ(json["completion"]["status"], 403);
}

TEST_F(SearchTest, AnyByteOfACallerSurvivesAsText) {
  Put(1, [](DecisionRecord& r) { r.path = "/\xff\x01\"\n"; });
  StatusOr<FoundDecision> found = Searcher().Find(IdOf(1));
  ASSERT_TRUE(found.ok());
  std::string json = RecordJson(found->decision);
  EXPECT_TRUE(Json::accept(json)) << json;
  EXPECT_EQ(json.find('\n'), std::string::npos);
  std::string text = ExplainText(*found->decision.record.decision(), nullptr);
  EXPECT_EQ(text.find('\xff'), std::string::npos);
}

TEST_F(SearchTest, ExplainsADenialByItsNearestAllowAndPolicyVersion) {
  Put(1, [](DecisionRecord&) {});
  StatusOr<FoundDecision> found = Searcher().Find(IdOf(1));
  ASSERT_TRUE(found.ok());
  std::string text = ExplainText(*found->decision.record.decision(), found->completion());
  EXPECT_THAT(text, HasSubstr("Denied: no rule matched (no_rule_matched)"));
  EXPECT_THAT(text, HasSubstr("DELETE /orders/7 from spiffe://shop.example/ns/prod/sa/web"));
  EXPECT_THAT(text, HasSubstr("shop/orders/storefront-reads, which failed in methods k"));
  EXPECT_THAT(text, HasSubstr("shop version 3, digest abab"));
  EXPECT_THAT(text, HasSubstr("allow with all trials ended"));
  EXPECT_THAT(text, HasSubstr("status 403"));
  Json json = Json::parse(ExplainJson(found->decision, found->completion()));
  EXPECT_EQ(json["explanation"], "Denied: no rule matched (no_rule_matched)");
}

TEST_F(SearchTest, ExplainsADenyRuleByName) {
  Put(1, [](DecisionRecord& r) { r.reason = authz::Reason::kDenyRule; });
  StatusOr<FoundDecision> found = Searcher().Find(IdOf(1));
  ASSERT_TRUE(found.ok());
  EXPECT_THAT(ExplainText(*found->decision.record.decision(), nullptr),
              HasSubstr("Denied: by rule shop/orders/nobody-purges (deny_rule)"));
}

}  // namespace
}  // namespace countersign::audit
