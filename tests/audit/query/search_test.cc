#include "audit/query/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "audit/query/explain.h"
#include "audit/query/record_json.h"
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

TEST_F(SearchTest, AnIndexOfAnotherLogOrOfGarbageIsMadeAnew) {
  PutFour();
  EXPECT_THAT(Find({}), ElementsAre(1, 2, 3, 4));
  std::string old_index = Read("index.sqlite");
  log_.reset();
  std::filesystem::remove_all(folder_);
  sequence_ = 0;
  log_ = Open();
  Put(7, [](DecisionRecord&) {});
  Write("index.sqlite", old_index);
  EXPECT_THAT(Find({}), ElementsAre(7));
  Write("index.sqlite", std::string(9000, 'g'));
  EXPECT_THAT(Find({}), ElementsAre(7));
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
