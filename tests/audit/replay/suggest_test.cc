#include "audit/replay/suggest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "authz/kinds/printer.h"
#include "authz/prove/diff.h"
#include "authz/yaml/format.h"
#include "tests/audit/replay/replay_fixture.h"

namespace countersign::audit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

constexpr std::string_view kReports = "spiffe://shop.example/ns/prod/sa/reports";

class SuggestTest : public ReplayFixture {
 protected:
  // What runs lets the mesh do everything but what a deny forbids.
  void UseBroad(const std::string& more = "") {
    Use(Orders("    - name: broad\n      effect: allow\n      from: anyone\n" + more));
  }
  StatusOr<Suggestion> TrySuggest(const std::optional<authz::PolicySets>& present = std::nullopt,
                                  const std::string& service = "orders") {
    SuggestQuestion question;
    question.window.folders = {folder_};
    question.window.since = since_;
    question.service = service;
    question.present = present;
    question.limits = suggest_limits_;
    return Suggest(question);
  }
  Suggestion Suggested(const std::optional<authz::PolicySets>& present = std::nullopt) {
    StatusOr<Suggestion> suggestion = TrySuggest(present);
    EXPECT_TRUE(suggestion.ok()) << suggestion.status();
    return suggestion.ok() ? *std::move(suggestion) : Suggestion();
  }
  // What the suggestion says of a request.
  bool Admits(const Suggestion& suggestion, const authz::CanonicalRequest& request) {
    auto naive = authz::NaiveAuthorizer::Create(suggestion.after);
    EXPECT_TRUE(naive.ok()) << naive.status();
    return naive->Decide(request, clock_.Now()).effect == authz::Effect::kAllow;
  }
  static std::string Yaml(const Suggestion& suggestion) {
    return *authz::ToYaml(suggestion.policies.at(0).document);
  }
  static authz::CanonicalRequest Tcp(std::string_view caller, uint16_t port) {
    authz::CanonicalRequest request;
    request.callee = kOrders;
    request.caller = caller;
    request.port = port;
    return request;
  }
  SuggestLimits suggest_limits_;
};

TEST_F(SuggestTest, SaysWhatWasSeenInTheFormOfPolicyFmt) {
  UseBroad();
  for (std::string_view path : {"/orders/7", "/orders/8", "/orders/9"}) {
    Put(Http(kWeb, "GET", path));
    Put(Http(kMobile, "GET", path));
  }
  Put(Http(kWeb, "POST", "/orders"));
  Put(Http(kMobile, "POST", "/orders"));
  Put(Http(kReports, "GET", "/orders/export"));
  Put(Http("", "GET", "/healthz"));
  Put(Tcp(kReports, 5432));
  Suggestion suggestion = Suggested();
  EXPECT_EQ(suggestion.observed, 11U);
  EXPECT_EQ(suggestion.admitted, 11U);
  EXPECT_EQ(Yaml(suggestion), R"(apiVersion: countersign.dev/v1alpha1
kind: AccessPolicy
metadata: { name: orders }
spec:
  appliesTo: { id: spiffe://shop.example/ns/prod/sa/orders }
  rules:
    - name: anonymous
      effect: allow
      from:
        - id: { present: false }
      to:
        - methods: [GET]
          path: /healthz
    - name: mobile-and-web
      effect: allow
      from:
        - { id: spiffe://shop.example/ns/prod/sa/mobile }
        - { id: spiffe://shop.example/ns/prod/sa/web }
      to:
        - methods: [GET]
          path: '/orders/{id}'
        - methods: [POST]
          path: /orders
    - name: reports
      effect: allow
      from:
        - { id: spiffe://shop.example/ns/prod/sa/reports }
      to:
        - methods: [GET]
          path: /orders/export
        - { port: 5432, protocol: tcp }
)");
  EXPECT_EQ(*authz::yaml::FormatText(Yaml(suggestion)), Yaml(suggestion));
}

TEST_F(SuggestTest, AdmitsWhatWasSeenAndNothingThatIsNear) {
  UseBroad();
  std::vector<authz::CanonicalRequest> seen = {
      Http(kWeb, "GET", "/orders/7"),    Http(kWeb, "GET", "/orders/8"),
      Http(kWeb, "GET", "/orders/9"),    Http(kWeb, "HEAD", "/orders/9"),
      Http(kMobile, "GET", "/orders/7"), Http(kMobile, "PUT", "/cart/1"),
      Http(kMobile, "PUT", "/cart/2"),   Http(kReports, "GET", "/a*b"),
      Http(kReports, "GET", "/x/{y}/1"), Http(kReports, "GET", "/x/{y}/2"),
      Http(kReports, "GET", "/x/{y}/3"), Tcp(kReports, 5432)};
  for (const authz::CanonicalRequest& request : seen) {
    Put(request);
  }
  Suggestion suggestion = Suggested();
  EXPECT_EQ(suggestion.admitted, seen.size());
  for (const authz::CanonicalRequest& request : seen) {
    EXPECT_TRUE(Admits(suggestion, request)) << request.path;
  }
  authz::CanonicalRequest elsewhere = Http(kWeb, "GET", "/orders/7");
  elsewhere.callee = kMobile;
  for (const authz::CanonicalRequest& request :
       {Http(kWeb, "POST", "/orders/7"), Http(kWeb, "GET", "/orders"),
        Http(kWeb, "GET", "/orders/"), Http(kWeb, "GET", "/orders/7/items"),
        Http(kWeb, "GET", "/orders-admin/7"), Http(kWeb, "PUT", "/cart/1"),
        Http(kMobile, "HEAD", "/orders/9"), Http(kMobile, "PUT", "/cart/3"),
        Http("", "GET", "/orders/7"), Http(kReports, "GET", "/orders/7"),
        Http("spiffe://shop.example/ns/prod/sa/web/x", "GET", "/orders/7"),
        Http("spiffe://other.example/ns/prod/sa/web", "GET", "/orders/7"),
        Http(kReports, "GET", "/aXb"), Http(kReports, "GET", "/x/y/1"),
        Http(kReports, "GET", "/x/{y}/1/2"), Tcp(kReports, 5433), Tcp(kWeb, 5432), elsewhere}) {
    EXPECT_FALSE(Admits(suggestion, request)) << request.caller << request.method << request.path;
  }
}

TEST_F(SuggestTest, ATemplateTakesInTheWordsOfItsOwnCallersOnly) {
  UseBroad();
  for (std::string_view path : {"/o/7", "/o/8", "/o/9", "/o/export"}) {
    Put(Http(kWeb, "GET", path));
  }
  Put(Http(kMobile, "GET", "/o/export"));
  std::string yaml = Yaml(Suggested());
  EXPECT_THAT(yaml, HasSubstr("path: /o/export"));
  EXPECT_THAT(yaml, HasSubstr("path: '/o/{id}'"));
  EXPECT_THAT(yaml, Not(HasSubstr("path: ["))) << "web's rule names the template alone";
}

TEST_F(SuggestTest, OnlyWhatWasLetThroughToThatServiceIsLearnedFrom) {
  Use(Orders(AllowRule("reads", kWeb, "{ methods: [GET] }")));
  Put(Http(kWeb, "GET", "/orders"));
  Put(Http(kWeb, "DELETE", "/orders"));
  RecordOf other(*policy_, Http(kWeb, "GET", "/other"), clock_.Now());
  other.record.service = "other";
  PutRecord(other.record);
  RecordOf probe(*policy_, Http(kWeb, "GET", "/healthz"), clock_.Now());
  probe.record.reason = authz::Reason::kProbe;
  PutRecord(probe.record);
  Suggestion suggestion = Suggested();
  EXPECT_EQ(suggestion.observed, 1U);
  EXPECT_FALSE(Admits(suggestion, Http(kWeb, "GET", "/other")));
  EXPECT_FALSE(Admits(suggestion, Http(kWeb, "DELETE", "/orders")));
  StatusOr<Suggestion> nothing = TrySuggest(std::nullopt, "orderz");
  EXPECT_EQ(nothing.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(Message(nothing.status())), HasSubstr("\"orders\", \"other\""));
}

TEST_F(SuggestTest, TakesThePlaceOfThePresentPolicyAndKeepsItsDenies) {
  const std::string kDeny =
      "    - name: nobody-purges\n      effect: deny\n      from: anyone\n"
      "      to: [{ protocol: http, methods: [DELETE] }]\n";
  UseBroad(kDeny);
  Put(Http(kWeb, "GET", "/orders"));
  Put(Http(kWeb, "DELETE", "/orders"));
  authz::PolicySets present = policy_->sets();
  Suggestion suggestion = Suggested(present);
  ASSERT_EQ(suggestion.policies.size(), 1U);
  EXPECT_EQ(suggestion.policies[0].set, "shop");
  EXPECT_EQ(suggestion.policies[0].name, "orders");
  EXPECT_THAT(suggestion.policies[0].former, HasSubstr("broad"));
  EXPECT_THAT(Yaml(suggestion), HasSubstr("nobody-purges"));
  EXPECT_THAT(Yaml(suggestion), Not(HasSubstr("broad")));
  EXPECT_TRUE(Admits(suggestion, Http(kWeb, "GET", "/orders")));
  EXPECT_FALSE(Admits(suggestion, Http(kMobile, "GET", "/orders")));
  auto diff = authz::prove::DiffPolicies(present, suggestion.after, {});
  ASSERT_TRUE(diff.ok()) << diff.status();
  for (const authz::prove::Change& change : diff->changes) {
    EXPECT_FALSE(change.newly_allowed);
  }
  EXPECT_FALSE(diff->same());
}

TEST_F(SuggestTest, DoesNotArgueWithADenyThatCameLater) {
  UseBroad();
  Put(Http(kWeb, "DELETE", "/orders"));
  Put(Http(kWeb, "GET", "/orders"));
  Suggestion suggestion =
      Suggested(Orders("    - name: nobody-purges\n      effect: deny\n      from: anyone\n"
                       "      to: [{ protocol: http, methods: [DELETE] }]\n"));
  EXPECT_EQ(suggestion.admitted, 1U);
  EXPECT_THAT(suggestion.denied_by, ElementsAre(Pair("shop/orders/nobody-purges", 1U)));
}

TEST_F(SuggestTest, ADenyOnAFieldThatRecordsLackCannotBeJudged) {
  UseBroad();
  Put(Http(kWeb, "GET", "/orders"));
  Suggestion suggestion = Suggested(
      Orders("    - name: no-debug\n      effect: deny\n      from: anyone\n"
             "      to: [{ protocol: http }]\n      when: { headers: { x-debug: yes-please } }\n"));
  EXPECT_EQ(suggestion.unjudged, 1U);
  EXPECT_EQ(suggestion.admitted, 0U);
}

TEST_F(SuggestTest, AWayInThatLetsUnmatchedThroughIsClosedByWhatWasSeen) {
  const authz::PolicySets entry = Orders(Concat(
      "    - name: never\n      effect: deny\n      from: anyone\n      to: [{ path: /never, "
      "protocol: http }]\n  unmatched: { dryRun: true, until: ",
      FormatTime(clock_.Now() + std::chrono::hours(24)), " }\n"));
  Use(entry);
  Put(Http(kWeb, "GET", "/orders"));
  Suggestion suggestion = Suggested(entry);
  EXPECT_EQ(suggestion.admitted, 1U);
  EXPECT_THAT(Yaml(suggestion), Not(HasSubstr("until")));
  EXPECT_FALSE(Admits(suggestion, Http(kWeb, "GET", "/other")));
  EXPECT_FALSE(Admits(suggestion, Http(kWeb, "GET", "/never")));
}

TEST_F(SuggestTest, PoliciesForOthersTooStayAndAreNamed) {
  authz::SourceFile file{
      .path = "set.yaml",
      .content =
          "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: base }\n"
          "spec:\n  owner: { id: 'spiffe://shop.example/people/ana' }\n"
          "  scope: { under: 'spiffe://shop.example/ns/prod' }\n---\n"
          "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: health }\n"
          "spec:\n  appliesTo: all\n  rules:\n" +
          AllowRule("health", kWeb, "{ methods: [GET], path: /healthz }")};
  authz::LoadResult loaded = authz::Load({&file, 1});
  ASSERT_TRUE(loaded.ok());
  Use(loaded.sets);
  Put(Http(kWeb, "GET", "/healthz"));
  Suggestion suggestion = Suggested(loaded.sets);
  EXPECT_THAT(suggestion.staying, ElementsAre("base/health"));
  EXPECT_EQ(suggestion.policies[0].set, "base");
  EXPECT_EQ(suggestion.policies[0].former, "");
  EXPECT_THAT(Suggested().staying, IsEmpty());
}

TEST_F(SuggestTest, WithoutASetThatMayGuardTheWorkloadThereIsNoPlace) {
  UseBroad();
  RecordOf made(*policy_, Http(kWeb, "GET", "/orders"), clock_.Now());
  made.record.callee = "spiffe://shop.example/ns/stage/sa/orders";
  PutRecord(made.record);
  StatusOr<Suggestion> suggestion = TrySuggest(policy_->sets());
  EXPECT_EQ(suggestion.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(Message(suggestion.status())), HasSubstr("scope"));
}

TEST_F(SuggestTest, AMethodThatNoPolicyCanNameIsAnError) {
  UseBroad();
  Put(Http(kWeb, "get", "/orders"));
  StatusOr<Suggestion> suggestion = TrySuggest();
  EXPECT_FALSE(suggestion.ok());
  EXPECT_THAT(std::string(Message(suggestion.status())), HasSubstr("upper case"));
}

TEST_F(SuggestTest, ADamagedLogGivesNoSuggestion) {
  UseBroad();
  Put(Http(kWeb, "GET", "/orders/7"));
  std::string name = BundleName(kEntriesLevel, 0);
  std::string changed = Read(name);
  changed[changed.rfind("/orders/7") + 8] = '8';
  Write(name, changed);
  EXPECT_EQ(TrySuggest().status().code(), StatusCode::kDataLoss);
}

TEST_F(SuggestTest, EachLimitIsAnErrorThatNamesIt) {
  UseBroad();
  Put(Http(kWeb, "GET", "/orders"));
  Put(Http(kMobile, "POST", "/orders"));
  suggest_limits_.observed.callers_max = 1;
  EXPECT_THAT(std::string(Message(TrySuggest().status())), HasSubstr("1 callers"));
  suggest_limits_ = {};
  suggest_limits_.observed.methods_max = 1;
  EXPECT_THAT(std::string(Message(TrySuggest().status())), HasSubstr("1 methods"));
  suggest_limits_ = {};
  suggest_limits_.workloads_max = 0;
  EXPECT_THAT(std::string(Message(TrySuggest().status())), HasSubstr("0 workloads"));
}

}  // namespace
}  // namespace countersign::audit
