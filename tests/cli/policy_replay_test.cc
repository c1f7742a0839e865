#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "authz/kinds/loader.h"
#include "cli/policy_replay_command.h"
#include "tests/audit/replay/replay_fixture.h"

namespace countersign::cli {
namespace {

using audit::AllowRule;
using audit::kMobile;
using audit::kWeb;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

constexpr const char* kHead =
    "apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: shop }\n"
    "spec:\n  owner: { id: 'spiffe://shop.example/people/ana' }\n"
    "  scope: { under: 'spiffe://shop.example/ns/prod' }\n---\n"
    "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: orders }\n"
    "spec:\n  appliesTo: { id: spiffe://shop.example/ns/prod/sa/orders }\n  rules:\n";

class PolicyReplayTest : public audit::ReplayFixture {
 protected:
  struct Result {
    int code = 0;
    std::string out;
    std::string err;
  };
  Result Run(std::vector<std::string> arguments, const std::string& audit_dir) {
    std::ostringstream out;
    std::ostringstream err;
    std::istringstream in;
    Context context{out, err, in, kGood, "", "", audit_dir};
    CLI::App app("test");
    AddPolicyReplay(app, context);
    arguments.insert(arguments.begin(), "replay");
    std::reverse(arguments.begin(), arguments.end());
    app.parse(arguments);
    return {context.exit_code, out.str(), err.str()};
  }
  Result Run(std::vector<std::string> arguments) { return Run(std::move(arguments), folder_); }

  // A folder with the policies of these rules.
  std::string Folder(const std::string& name, const std::string& rules) {
    std::string folder = dir_.File(name);
    std::filesystem::create_directories(folder);
    EXPECT_TRUE(WriteFileAtomically(folder + "/set.yaml", kHead + rules, 0600).ok());
    return folder;
  }
  // Requests by the rules in the folder, recorded.
  void Record(const std::string& folder) {
    auto files = authz::ReadSources(folder);
    ASSERT_TRUE(files.ok());
    Use(authz::Load(*files).sets);
    Put(Http(kWeb, "GET", "/orders/7"));
    Put(Http(kMobile, "GET", "/orders/7"));
    Put(Http(kMobile, "GET", "/orders/8"));
  }
  const std::string reads_ = AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }");
};

TEST_F(PolicyReplayTest, SaysThatNothingFlipsWithStatusZero) {
  std::string folder = Folder("policies", reads_);
  Record(folder);
  Result result = Run({"-f", folder, "--old", folder});
  EXPECT_EQ(result.code, kGood) << result.err;
  EXPECT_THAT(result.out, HasSubstr("3 requests: 3 the same, 0 newly allowed, 0 newly denied"));
  EXPECT_THAT(result.out, HasSubstr("0 regions of requests change, 0 never exercised"));
}

TEST_F(PolicyReplayTest, PrintsFlipsWithRuleCallerPathSamplesAndWhatNobodyTried) {
  std::string old = Folder("old", reads_);
  std::string next = Folder(
      "next", reads_ + AllowRule("app", kMobile, "{ methods: [GET, PUT], path: '/orders/{id}' }") +
                  AllowRule("root", kMobile, "{ methods: [GET], path: '/admin' }"));
  Record(old);
  Result result = Run({"-f", next, "--old", old, "--log", folder_});
  EXPECT_EQ(result.code, kFindings) << result.err;
  for (const std::string& line :
       {std::string("newly allowed: 2 requests"), std::string("1. 2 of GET /orders/{id}"),
        Concat("caller ", kMobile),
        std::string("was denied by (no_rule_matched), would be allowed"),
        Concat("by shop/orders/app (", next, "/set.yaml:18)"), audit::DecisionIdText(IdOf(2)),
        std::string("never exercised"), std::string("method: PUT"),
        std::string("3 requests: 1 the same, 2 newly allowed")}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
  EXPECT_THAT(result.out, Not(HasSubstr("newly denied:")));

  Json json = Json::parse(Run({"-f", next, "--old", old, "-o", "json"}).out);
  EXPECT_EQ(json["same"], 1);
  EXPECT_EQ(json["newlyAllowed"], 2);
  EXPECT_EQ(json["flips"][0]["change"], "newly_allowed");
  EXPECT_EQ(json["flips"][0]["count"], 2);
  EXPECT_EQ(json["flips"][0]["after"], "shop/orders/app");
  EXPECT_EQ(json["flips"][0]["samples"][0]["decision"], audit::DecisionIdText(IdOf(2)));
  EXPECT_EQ(json["regions"]["known"], true);
  EXPECT_GE(json["regions"]["neverExercised"].size(), 1U);
}

TEST_F(PolicyReplayTest, WhatCannotBeJudgedIsStatusThreeUnlessSomethingFlips) {
  std::string old = Folder("old", reads_);
  Record(old);
  std::string tenants =
      Folder("tenants", AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }",
                                  "{ headers: { x-tenant: acme } }"));
  Result result = Run({"-f", tenants, "--old", old});
  EXPECT_EQ(result.code, kGaveUp);
  EXPECT_THAT(result.out, HasSubstr("1. 1 (1 were allowed) for lack of headers x-tenant: no rule "
                                    "named it when the records were made"));
  EXPECT_THAT(Run({"-f", tenants}).out, HasSubstr("give them with --old"));
  std::string both =
      Folder("both", AllowRule("reads", kWeb, "{ methods: [GET], path: '/orders/{id}' }",
                               "{ headers: { x-tenant: acme } }") +
                         AllowRule("app", kMobile, "{ methods: [GET] }"));
  EXPECT_EQ(Run({"-f", both, "--old", old}).code, kFindings);
}

TEST_F(PolicyReplayTest, AWindowWithoutRequestsIsNoGoodResult) {
  std::string folder = Folder("policies", reads_);
  Result result = Run({"-f", folder});
  EXPECT_EQ(result.code, kGaveUp);
  EXPECT_THAT(result.err, HasSubstr("nothing was tried"));
  Record(folder);
  EXPECT_EQ(Run({"-f", folder}).code, kGood);
  EXPECT_EQ(Run({"-f", folder, "--until", "2020-01-01"}).code, kGaveUp);
  EXPECT_EQ(Run({"-f", folder, "--since", "2020-01-01"}).code, kGood);
}

TEST_F(PolicyReplayTest, ADamagedLogIsAnErrorAndPrintsNoResult) {
  std::string folder = Folder("policies", reads_);
  Record(folder);
  std::string name = BundleName(audit::kEntriesLevel, 0);
  std::string bundle = Read(name);
  bundle[bundle.rfind("/orders/8") + 8] = '9';
  Write(name, bundle);
  Result result = Run({"-f", folder});
  EXPECT_EQ(result.code, kError);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("countersign audit verify"));
}

TEST_F(PolicyReplayTest, WrongQuestionsAreRefusedWithTheRightWords) {
  std::string folder = Folder("policies", reads_);
  EXPECT_THAT(Run({"-f", folder}, "").err, HasSubstr("--audit-dir"));
  EXPECT_THAT(Run({"-f", folder, "--log", dir_.File("nowhere")}).err, HasSubstr("log.vkey"));
  EXPECT_THAT(Run({"-f", folder, "--since", "yesterday"}).err, HasSubstr("15m"));
  EXPECT_THAT(Run({"-f", folder, "--since", "1h", "--until", "2h"}).err,
              HasSubstr("is not before"));
  EXPECT_THAT(Run({"-f", dir_.File("nowhere")}).err, HasSubstr("nowhere"));
  EXPECT_THAT(Run({"-f", folder, "--log", folder_, "--log", folder_, "--vkey", "x"}).err,
              HasSubstr("one by one"));
  std::string broken = Folder("broken", "    - name: x\n");
  Result result = Run({"-f", broken});
  EXPECT_EQ(result.code, kError);
  EXPECT_THAT(result.err, HasSubstr("set.yaml"));
}

}  // namespace
}  // namespace countersign::cli
