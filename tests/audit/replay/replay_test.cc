#include "audit/replay/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/audit/replay/replay_fixture.h"

namespace countersign::audit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class ReplayTest : public ReplayFixture {
 protected:
  const authz::PolicySets reads_ =
      Orders(AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }"));
  const authz::PolicySets tenants_ =
      Orders(AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }",
                       "{ headers: { x-tenant: acme } }"));
};

TEST_F(ReplayTest, ThePolicyThatMadeTheRecordsFlipsNothing) {
  Use(tenants_);
  const std::array<authz::NameValue, 1> kAcme = {{{"x-tenant", "acme"}}};
  authz::CanonicalRequest with = Http(kWeb, "GET", "/orders/7");
  with.headers = kAcme;
  Put(with);
  Put(Http(kWeb, "GET", "/orders/7"));
  Put(Http("", "DELETE", "/orders/7"));
  ReplayReport report = Replayed(tenants_);
  EXPECT_EQ(report.same, 3U) << "that a named header was not there is known";
  EXPECT_EQ(report.judged() - report.same + report.unjudged, 0U);
  EXPECT_EQ(report.window.decisions, 3U);
  EXPECT_GE(report.window.entries, 6U);
}

TEST_F(ReplayTest, FlipsAreGroupedByRuleCallerAndPathNewlyAllowedFirst) {
  Use(reads_);
  for (std::string_view path : {"/orders/7", "/orders/8", "/orders/9", "/orders/10"}) {
    Put(Http(kWeb, "GET", path));
    Put(Http(kMobile, "GET", path));
  }
  Put(Http(kMobile, "GET", "/orders/export"));
  ReplayReport report = Replayed(
      Orders(AllowRule("app-reads", kMobile, "{ methods: [GET], path: { under: /orders } }")));
  EXPECT_EQ(report.same, 0U);
  EXPECT_EQ(report.newly_allowed, 5U);
  EXPECT_EQ(report.newly_denied, 4U);
  ASSERT_EQ(report.flips.size(), 3U);
  const FlipGroup& first = report.flips[0];
  EXPECT_TRUE(first.newly_allowed);
  EXPECT_EQ(first.count, 4U);
  EXPECT_EQ(first.caller, kMobile);
  EXPECT_EQ(first.workload, kOrders);
  EXPECT_EQ(first.request, "GET /orders/{id}");
  EXPECT_EQ(first.before, "(no_rule_matched)");
  EXPECT_EQ(first.after, "shop/orders/app-reads");
  EXPECT_EQ(first.where.file, "set.yaml");
  EXPECT_GT(first.where.line, 0U);
  ASSERT_EQ(first.samples.size(), 3U);
  EXPECT_EQ(first.samples[0].id, IdOf(2));
  EXPECT_THAT(first.samples[0].request, HasSubstr("path: /orders/7"));
  EXPECT_EQ(report.flips[1].request, "GET /orders/export");
  EXPECT_FALSE(report.flips[2].newly_allowed);
  EXPECT_EQ(report.flips[2].before, "shop/orders/reads");
  EXPECT_EQ(report.flips[2].after, "(no_rule_matched)");
  EXPECT_EQ(report.flips[2].where.line, 0U);
}

TEST_F(ReplayTest, GroupsOverTheLimitAreCountedAndNotKept) {
  Use(reads_);
  limits_.groups_max = 2;
  for (std::string_view path : {"/a", "/b", "/c", "/c", "/a"}) {
    Put(Http(kWeb, "GET", path));
  }
  ReplayReport report =
      Replayed(Orders(AllowRule("all", kWeb, "{ methods: [GET], path: { under: / } }")));
  EXPECT_EQ(report.newly_allowed, 5U);
  EXPECT_EQ(report.flips.size(), 2U);
  EXPECT_EQ(report.ungrouped_flips, 2U);
}

TEST_F(ReplayTest, AHeaderThatNobodyNamedThenIsNoSameVerdict) {
  Use(reads_);
  Put(Http(kWeb, "GET", "/orders/7"));
  Put(Http(kMobile, "GET", "/orders/7"));
  ReplayReport report = Replayed(tenants_, {reads_});
  EXPECT_EQ(report.unjudged, 1U);
  EXPECT_EQ(report.same, 1U) << "mobile is denied whatever header it sent";
  ASSERT_EQ(report.unjudged_groups.size(), 1U);
  const UnjudgedGroup& group = report.unjudged_groups[0];
  EXPECT_THAT(group.fields, ElementsAre("headers x-tenant"));
  EXPECT_EQ(group.why, WhyLacking::kNotNamed);
  EXPECT_EQ(group.count, 1U);
  EXPECT_EQ(group.were_allowed, 1U);
  EXPECT_EQ(group.samples[0].id, IdOf(1));
}

TEST_F(ReplayTest, WhatAnUnknownVersionNamedIsNotKnown) {
  Use(tenants_);
  Put(Http(kWeb, "GET", "/orders/7"));
  const authz::PolicySets later =
      Orders(AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }",
                       "{ headers: { x-tenant: { present: false } } }"));
  ReplayReport report = Replayed(later);
  ASSERT_EQ(report.unjudged_groups.size(), 1U);
  EXPECT_EQ(report.unjudged_groups[0].why, WhyLacking::kVersionUnknown);
  report = Replayed(later, {tenants_});
  EXPECT_EQ(report.unjudged, 0U) << "it is known that the header was looked for, and not there";
  EXPECT_EQ(report.newly_allowed, 1U);
}

TEST_F(ReplayTest, AnAllowThatRestsOnAFieldHavingComeOnceSaysSo) {
  Use(reads_);
  Put(Http(kWeb, "GET", "/orders/7"));
  ReplayReport report = Replayed(
      Orders(AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }") +
             AllowRule("other", kWeb, "{ methods: [PUT] }", "{ headers: { x-tenant: acme } }")),
      {reads_});
  EXPECT_EQ(report.same, 1U);
  EXPECT_THAT(report.assumed_once, ElementsAre(Pair("headers x-tenant", 1U)));
}

TEST_F(ReplayTest, QueriesAreNeverRecordedHenceNeverJudged) {
  const authz::PolicySets pages = Orders(AllowRule(
      "reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }", "{ query: { page: '2' } }"));
  Use(pages);
  Put(Http(kWeb, "GET", "/orders/7"));
  ReplayReport report = Replayed(pages);
  ASSERT_EQ(report.unjudged_groups.size(), 1U);
  EXPECT_THAT(report.unjudged_groups[0].fields, ElementsAre("query page"));
  EXPECT_EQ(report.unjudged_groups[0].why, WhyLacking::kNeverRecorded);
}

TEST_F(ReplayTest, AFullListOfHeadersMayLackAny) {
  Use(tenants_);
  std::vector<authz::NameValue> many(RecordLimits::kHeadersMax, {"x-tenant", "acme"});
  authz::CanonicalRequest request = Http(kWeb, "GET", "/orders/7");
  request.headers = many;
  RecordOf made(*policy_, request, clock_.Now());
  made.record.reason = authz::Reason::kNoRuleMatched;
  std::vector<authz::NameValue> others(RecordLimits::kHeadersMax, {"x-other", "acme"});
  made.record.headers = others;
  PutRecord(made.record);
  ReplayReport report = Replayed(tenants_);
  ASSERT_EQ(report.unjudged_groups.size(), 1U);
  EXPECT_EQ(report.unjudged_groups[0].why, WhyLacking::kListFull);
}

TEST_F(ReplayTest, ARepeatedFieldThatTheRecordHoldsIsStillRefused) {
  Use(tenants_);
  const std::array<authz::NameValue, 2> kTwice = {{{"x-tenant", "acme"}, {"x-tenant", "acme"}}};
  authz::CanonicalRequest request = Http(kWeb, "GET", "/orders/7");
  request.headers = kTwice;
  Put(request);
  EXPECT_EQ(Replayed(tenants_).same, 1U);
  EXPECT_EQ(Replayed(reads_).newly_allowed, 1U) << "which no longer names it";
}

TEST_F(ReplayTest, ProbesTheOutboundSideAndProxiesNotReadyAreNotThePolicies) {
  Use(reads_);
  for (authz::Reason reason : {authz::Reason::kProbe, authz::Reason::kLocalCaller,
                               authz::Reason::kLocalCallerRefused, authz::Reason::kNotReady}) {
    RecordOf made(*policy_, Http(kWeb, "GET", "/orders/7"), clock_.Now());
    made.record.reason = reason;
    made.record.effect = authz::Effect::kDeny;
    PutRecord(made.record);
  }
  ReplayReport report = Replayed(reads_);
  EXPECT_EQ(report.window.other, 4U);
  EXPECT_EQ(report.judged() + report.unjudged, 0U);
}

TEST_F(ReplayTest, TheWindowHoldsItsFirstInstantAndNotItsLast) {
  Use(reads_);
  WallTime start = clock_.Now();
  for (int i = 0; i < 4; ++i) {
    Put(Http(kWeb, "GET", "/orders/7"));
  }
  since_ = start + std::chrono::seconds(1);
  EXPECT_EQ(Replayed(reads_).same, 3U);
  until_ = start + std::chrono::seconds(3);
  EXPECT_EQ(Replayed(reads_).same, 2U);
  since_ = *since_ + std::chrono::nanoseconds(1);
  EXPECT_EQ(Replayed(reads_).same, 1U);
  until_ = *until_ + std::chrono::nanoseconds(1);
  EXPECT_EQ(Replayed(reads_).same, 2U);
}

TEST_F(ReplayTest, RecordsAreJudgedAtTheirOwnTime) {
  const authz::PolicySets once =
      Orders(Concat(AllowRule("reads", kWeb, "{ methods: [GET] }"),
                    "      expires: ", FormatTime(clock_.Now() + std::chrono::seconds(1)), "\n"));
  Use(once);
  Put(Http(kWeb, "GET", "/orders/7"));
  Put(Http(kWeb, "GET", "/orders/7"));
  EXPECT_EQ(Replayed(once).same, 2U);
  EXPECT_EQ(Replayed(reads_).newly_allowed, 1U);
}

TEST_F(ReplayTest, ADamagedLogGivesNoReport) {
  Use(reads_);
  for (int i = 0; i < 3; ++i) {
    Put(Http(kWeb, "GET", "/orders/7"));
  }
  std::string name = BundleName(kEntriesLevel, 0);
  std::string whole = Read(name);
  std::string changed = whole;
  size_t at = changed.rfind("/orders/7");
  ASSERT_NE(at, std::string::npos);
  changed[at + 8] = '8';
  Write(name, changed);
  EXPECT_EQ(TryReplay(reads_).status().code(), StatusCode::kDataLoss);
  Write(name, whole.substr(0, whole.size() / 2));
  EXPECT_EQ(TryReplay(reads_).status().code(), StatusCode::kDataLoss);
  Write(name, whole);
  EXPECT_TRUE(TryReplay(reads_).ok());
}

TEST_F(ReplayTest, AnotherKeyThanTheLogsIsNotBelieved) {
  ReplayQuestion question;
  question.window.folders = {folder_};
  question.window.vkey = "shop.example/agent/node-1+00000000+AAAA";
  question.candidate = reads_;
  EXPECT_FALSE(Replay(question).ok());
}

TEST_F(ReplayTest, AnEmptyLogIsReadAndHoldsNothing) {
  ReplayReport report = Replayed(reads_);
  EXPECT_EQ(report.window.decisions, 0U);
  EXPECT_EQ(report.judged() + report.unjudged, 0U);
}

TEST_F(ReplayTest, LostRecordsOfTheWindowAreTold) {
  Use(reads_);
  Put(Http(kWeb, "GET", "/orders/7"));
  GapRecord gap = {.count = 12,
                   .first_ns = clock_.Now().time_since_epoch().count(),
                   .last_ns = clock_.Now().time_since_epoch().count()};
  log_->Append({kRing, ++sequence_}, EncodeToString(gap));
  ASSERT_TRUE(log_->Commit().ok());
  EXPECT_EQ(Replayed(reads_).window.missing, 12U);
  since_ = clock_.Now() + std::chrono::seconds(1);
  EXPECT_EQ(Replayed(reads_).window.missing, 0U);
}

TEST_F(ReplayTest, TheExactDifferenceSaysWhatNoTrafficTried) {
  Use(reads_);
  Put(Http(kWeb, "GET", "/orders/7"));
  Put(Http(kWeb, "POST", "/orders/7"));
  const authz::PolicySets wider =
      Orders(AllowRule("reads", kWeb, "{ methods: [GET, POST], path: '/orders/{id}' }") +
             AllowRule("admin", kMobile, "{ path: { under: /admin } }"));
  ReplayReport report = Replayed(wider, {reads_});
  EXPECT_EQ(report.newly_allowed, 1U);
  ASSERT_TRUE(report.regions.has_value());
  EXPECT_TRUE(report.regions->complete());
  const auto& changes = report.regions->diff().changes;
  ASSERT_EQ(changes.size(), 2U);
  for (size_t i = 0; i < changes.size(); ++i) {
    EXPECT_EQ(report.regions->exercised(i),
              changes[i].request.method == "POST" && changes[i].request.caller == kWeb)
        << i;
  }
}

TEST_F(ReplayTest, RegionsThatWereNotLookedForAreNotCalledUnexercised) {
  Use(reads_);
  limits_.distinct_requests_max = 1;
  Put(Http(kWeb, "POST", "/orders/7"));
  Put(Http(kWeb, "POST", "/orders/7"));
  const authz::PolicySets wider =
      Orders(AllowRule("reads", kWeb, "{ methods: [GET, POST], path: '/orders/{id}' }"));
  EXPECT_TRUE(Replayed(wider, {reads_}).regions->complete());
  Put(Http(kWeb, "POST", "/orders/8"));
  EXPECT_FALSE(Replayed(wider, {reads_}).regions->complete());
}

TEST_F(ReplayTest, AProofThatGaveUpLeavesTheReplay) {
  std::string rules;
  std::string fewer;
  for (int i = 0; i < 40; ++i) {
    std::string rule = AllowRule(
        Concat("r", i), kWeb, Concat("{ protocol: http, path: { re2: '/.*a.{", i + 6, "}b' } }"));
    rules += rule;
    fewer += i == 7 ? "" : rule;
  }
  Use(reads_);
  Put(Http(kWeb, "GET", "/orders/7"));
  ReplayReport report = Replayed(Orders(fewer), {Orders(rules)});
  EXPECT_EQ(report.newly_denied, 1U);
  EXPECT_FALSE(report.regions.has_value());
  EXPECT_EQ(report.proof.code(), StatusCode::kResourceExhausted);
}

TEST_F(ReplayTest, OverALimitOfWorkloadsThereIsNoReport) {
  limits_.workloads_max = 1;
  Use(tenants_);
  Put(Http(kWeb, "GET", "/orders/7"));
  authz::CanonicalRequest other = Http(kWeb, "GET", "/");
  other.callee = kMobile;
  Put(other);
  StatusOr<ReplayReport> report = TryReplay(tenants_);
  EXPECT_EQ(report.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(report.status())), HasSubstr("--since"));
}

TEST_F(ReplayTest, SaysHowFarItIs) {
  Use(reads_);
  RecordOf made(*policy_, Http(kWeb, "GET", "/orders/7"), clock_.Now());
  for (uint64_t i = 0; i < ReplayLimits().progress_every + 1; ++i) {
    log_->Append({kRing, ++sequence_}, EncodeToString(made.record));
  }
  ASSERT_TRUE(log_->Commit().ok());
  ReplayQuestion question;
  question.window.folders = {folder_};
  question.candidate = reads_;
  std::vector<std::pair<uint64_t, uint64_t>> told;
  question.window.progress = [&](uint64_t read, uint64_t of) { told.emplace_back(read, of); };
  ASSERT_TRUE(Replay(question).ok());
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told[0].first, ReplayLimits().progress_every);
  EXPECT_GT(told[0].second, ReplayLimits().progress_every);
}

}  // namespace
}  // namespace countersign::audit
