// The verbs about policy files, run as people run them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/cli/run_countersign.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli {
namespace {

using testing::HasSubstr;

nlohmann::json Json(const Result& result) {
  return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
}

TEST(PolicyCommandsTest, ShippedPoliciesCheckAndTestWell) {
  Result check = Countersign("policy check --strict policies examples/shop");
  EXPECT_EQ(check.exit_code, 0) << check.out;
  EXPECT_THAT(check.out, HasSubstr("8 policy sets, 3 registrations, 2 services, 2 routes; "
                                   "0 errors, 0 warnings"));
  Result test = Countersign("policy test policies -o json");
  EXPECT_EQ(test.exit_code, 0) << test.out;
  EXPECT_EQ(Json(test)["ok"], true);
  EXPECT_GE(Json(test)["cases"].size(), 100u);
}

TEST(PolicyCommandsTest, ThePlanSaysHowRulesAreFound) {
  Result text = Countersign("policy check --plan policies");
  EXPECT_EQ(text.exit_code, 0) << text.out;
  EXPECT_THAT(text.out, HasSubstr("plan: "));
  EXPECT_THAT(text.out, HasSubstr("path: "));
  nlohmann::json plan = Json(Countersign("policy check --plan -o json policies"))["plan"];
  EXPECT_GT(plan["rules"].get<int>(), 0) << plan;
  EXPECT_FALSE(plan["fields"].empty());
  EXPECT_TRUE(plan["re2"].empty()) << plan["re2"];
  EXPECT_FALSE(Json(Countersign("policy check -o json policies")).contains("plan"));
}

TEST(PolicyCommandsTest, BenchPrintsOneObject) {
  Result result = Countersign("policy bench --rules 100 -o json");
  EXPECT_EQ(result.exit_code, 0) << result.out;
  nlohmann::json figures = Json(result);
  EXPECT_EQ(figures["rules"], 100);
  for (const char* name : {"load_ms", "rss_mb"}) {
    EXPECT_GE(figures[name].get<double>(), 0) << name;
  }
  double p50 = figures["p50_ns"].get<double>();
  EXPECT_GT(p50, 0);
  EXPECT_GE(figures["p99_ns"].get<double>(), p50);
  EXPECT_GT(figures["kept_connection_p50_ns"].get<double>(), 0);
  EXPECT_GT(figures["linear_re2_p50_ns"].get<double>(), p50);
  EXPECT_NE(Countersign("policy bench --rules 0").exit_code, 0);
}

TEST(PolicyCommandsTest, FindingsEndWithOneAndMachinesReadThem) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("set.yaml"), "kind: [\nx: \"\n", 0600).ok());
  Result check = Countersign(Concat("policy check -o json ", dir.path()));
  EXPECT_EQ(check.exit_code, 1) << check.out;
  nlohmann::json json = Json(check);
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["diagnostics"][0]["severity"], "error");
  EXPECT_EQ(json["diagnostics"][0]["file"], dir.File("set.yaml"));
  EXPECT_GE(json["diagnostics"][0]["line"].get<int>(), 1);
  EXPECT_EQ(Countersign(Concat("policy test ", dir.path())).exit_code, 1);
}

TEST(PolicyCommandsTest, MachinesReadWhatWasCounted) {
  nlohmann::json json = Json(Countersign("policy check -o json policies examples/shop"));
  EXPECT_EQ(json["policySets"], 8);
  EXPECT_EQ(json["registrations"], 3);
  EXPECT_EQ(json["services"], 2);
  EXPECT_EQ(json["routes"], 2);
  EXPECT_EQ(json["errors"], 0);
  EXPECT_EQ(json["warnings"], 0);
}

TEST(PolicyCommandsTest, CheckNamesASlipInAnIdIfRegistrationsAreGiven) {
  TempDir dir;
  auto policy = ReadFile(Concat(COUNTERSIGN_SOURCE_DIR, "/policies/shop/orders.yaml"), 1 << 20);
  auto set = ReadFile(Concat(COUNTERSIGN_SOURCE_DIR, "/policies/shop/set.yaml"), 1 << 20);
  ASSERT_TRUE(policy.ok() && set.ok());
  size_t at = policy->find("sa/orders }");
  ASSERT_NE(at, std::string::npos);
  policy->replace(at, 9, "sa/ordres");
  ASSERT_TRUE(WriteFileAtomically(dir.File("set.yaml"), *set, 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(dir.File("orders.yaml"), *policy, 0600).ok());
  EXPECT_THAT(Countersign(Concat("policy check ", dir.path())).out,
              testing::Not(HasSubstr("registration gives")));
  Result check = Countersign(
      Concat("policy check --strict ", dir.path(), " examples/shop/registrations.yaml"));
  EXPECT_EQ(check.exit_code, 1);
  EXPECT_THAT(check.out, HasSubstr("orders.yaml:2:1: warning: policy shop/orders: no registration "
                                   "gives out \"spiffe://shop.example/ns/prod/sa/ordres\" (did you "
                                   "mean \"spiffe://shop.example/ns/prod/sa/orders\"?)"));
}

TEST(PolicyCommandsTest, TestWithoutACaseSaysSoOnStderrAndIsNoCoverage) {
  const std::string file = "policies/shop/set.yaml";
  Result test = Countersign(Concat("policy test ", file));
  EXPECT_EQ(test.exit_code, 0) << test.out;
  EXPECT_THAT(test.out, HasSubstr("no PolicyTest was found: nothing was tried\n"));
  EXPECT_EQ(Countersign(Concat("policy test ", file, " 2>/dev/null | cat")).out,
            "0 cases, 0 failed\n");
  EXPECT_THAT(Countersign(Concat("policy test -o json ", file)).out,
              HasSubstr("nothing was tried"));
  EXPECT_EQ(Countersign(Concat("policy test --min-coverage 1 ", file)).exit_code, 1);
  EXPECT_EQ(Countersign("policy test --min-coverage 1 policies/shop").exit_code, 0);
}

TEST(PolicyCommandsTest, WhatCannotBeReadEndsWithTwo) {
  EXPECT_EQ(Countersign("policy check /nonexistent").exit_code, 2);
  EXPECT_EQ(Countersign("policy check").exit_code, 2);
  EXPECT_EQ(Countersign("policy eval policies -f /nonexistent.yaml").exit_code, 2);
  EXPECT_EQ(Countersign("policy eval policies").exit_code, 2);
}

TEST(PolicyCommandsTest, EvalSaysAllowedDeniedOrRefused) {
  TempDir dir;
  auto eval = [&](std::string_view request, const char* flags = "") {
    EXPECT_TRUE(WriteFileAtomically(dir.File("r.yaml"),
                                    Concat("caller: spiffe://shop.example/ns/prod/sa/web\n"
                                           "workload: spiffe://shop.example/ns/prod/sa/orders\n",
                                           request),
                                    0600)
                    .ok());
    return Countersign(Concat("policy eval policies -f ", dir.File("r.yaml"), " ", flags));
  };
  Result allowed = eval("method: GET\npath: /orders/7\n");
  EXPECT_EQ(allowed.exit_code, 0);
  EXPECT_THAT(allowed.out, HasSubstr("shop/orders/storefront-reads"));
  Result denied = eval("method: POST\npath: /orders/7\n", "-o json");
  EXPECT_EQ(denied.exit_code, 1);
  EXPECT_EQ(Json(denied)["effect"], "deny");
  EXPECT_EQ(Json(denied)["nearestMiss"]["field"], "methods");
  Result refused = eval("method: GET\npath: /orders/a%2Fb\n");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.out, HasSubstr("refused with 400 before any rule: encoded_slash"));
  Result wrong = eval("methd: GET\npath: /orders/7\n");
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.out, HasSubstr("r.yaml:3:1: unknown key \"methd\" (did you mean \"method\"?)"));
}

TEST(PolicyCommandsTest, ExplainPrintsTheLoadersOwnTable) {
  EXPECT_THAT(Countersign("explain").out, HasSubstr("AccessPolicy"));
  Result field = Countersign("explain accesspolicy.spec.rules.effect");
  EXPECT_EQ(field.exit_code, 0);
  EXPECT_THAT(field.out, HasSubstr("FIELD:    spec.rules.effect <allow|deny> -required-"));
  EXPECT_EQ(Json(Countersign("explain Service.spec.ports -o json"))["fields"][0]["name"],
            "allowInPath");
  Result unknown = Countersign("explain servise.spec");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.out, HasSubstr("did you mean \"Service\"?"));
  EXPECT_THAT(Countersign("explain route.spec.rulez").out, HasSubstr("did you mean \"rules\"?"));
}

// Writes a set of one policy, and gives its folder.
std::string WriteSet(const TempDir& dir, const std::string& rules) {
  EXPECT_TRUE(
      WriteFileAtomically(dir.File("set.yaml"),
                          Concat("apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\n"
                                 "metadata: { name: s }\nspec:\n"
                                 "  owner: { id: spiffe://shop.example/people/ana }\n"
                                 "  scope: { under: spiffe://shop.example }\n---\n"
                                 "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\n"
                                 "metadata: { name: p }\nspec:\n  appliesTo: all\n  rules:\n",
                                 rules),
                          0600)
          .ok());
  return std::string(dir.path());
}

std::string Allow(const std::string& name, const std::string& path) {
  return Concat("    - { name: ", name, ", effect: allow, from: mesh, to: [{ path: ", path,
                " }] }\n");
}

TEST(PolicyCommandsTest, DiffEndsWithWhatItProvedAndItsRequestsCanBeReplayed) {
  TempDir before_dir;
  TempDir after_dir;
  std::string before = WriteSet(before_dir, Allow("a", "/a/**"));
  std::string after = WriteSet(after_dir, Allow("b", "{ re2: '/a(/.*)?' }"));
  Result same = Countersign(Concat("policy diff ", before, " ", after));
  EXPECT_EQ(same.exit_code, 0) << same.out;
  EXPECT_EQ(same.out, "no change in meaning\n");

  WriteSet(after_dir, Allow("b", "{ prefix: /a }"));
  Result differs = Countersign(Concat("policy diff -o json ", before, " ", after));
  EXPECT_EQ(differs.exit_code, 1) << differs.out;
  nlohmann::json changes = Json(differs)["changes"];
  ASSERT_EQ(changes.size(), 1U) << differs.out;
  EXPECT_EQ(changes[0]["change"], "newly_allowed");
  TempDir request_dir;
  ASSERT_TRUE(WriteFileAtomically(request_dir.File("r.yaml"),
                                  changes[0]["request"].get<std::string>(), 0600)
                  .ok());
  std::string request = request_dir.File("r.yaml");
  EXPECT_EQ(Countersign(Concat("policy eval ", before, " -f ", request)).exit_code, 1);
  EXPECT_EQ(Countersign(Concat("policy eval ", after, " -f ", request)).exit_code, 0);

  EXPECT_EQ(Countersign(Concat("policy diff ", before, " /nonexistent")).exit_code, 2);
}

TEST(PolicyCommandsTest, DiffThatGaveUpEndsWithThreeAndNamesThePatterns) {
  std::string rules;
  for (int i = 0; i < 40; ++i) {
    rules += Allow(Concat("r", i), Concat("{ re2: '/.*a.{", i + 6, "}b' }"));
  }
  TempDir before_dir;
  TempDir after_dir;
  std::string before = WriteSet(before_dir, rules);
  std::string after = WriteSet(after_dir, rules + Allow("more", "{ re2: '/.*a.{5}b' }"));
  Result result = Countersign(Concat("policy diff ", before, " ", after));
  EXPECT_EQ(result.exit_code, 3) << result.out;
  EXPECT_THAT(result.out, HasSubstr("gave up, which proves nothing"));
  EXPECT_THAT(result.out, HasSubstr("re2 '/.*a.{6}b'"));
  EXPECT_THAT(result.out, ::testing::Not(HasSubstr("no change")));
}

TEST(PolicyCommandsTest, WhoCanListsWhatIsAllowedAndEndsWithOneIfNothingIs) {
  TempDir dir;
  std::string folder = WriteSet(dir, Allow("a", "/a/**"));
  Result result = Countersign(Concat("policy who-can -o json --path under:/a/b ", folder));
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(Json(result)["regions"][0]["rule"], "s/p/a");
  Result nothing = Countersign(Concat("policy who-can --caller none ", folder));
  EXPECT_EQ(nothing.exit_code, 1) << nothing.out;
  EXPECT_THAT(nothing.out, HasSubstr("nothing of it is allowed"));
}

// "nothing of it is allowed" is a proof: a value that no request can have gets none.
TEST(PolicyCommandsTest, WhoCanRefusesAValueThatNoRequestCanHave) {
  TempDir dir;
  std::string folder = WriteSet(dir, Allow("a", "/a/**"));
  const std::pair<const char*, const char*> kRows[] = {
      {"--workload orders", "--workload: SPIFFE ID \"orders\" must begin with spiffe://"},
      {"--workload under:orders", "--workload: SPIFFE ID \"orders\" must begin with spiffe://"},
      {"--caller web", "--caller: SPIFFE ID \"web\" must begin with spiffe://"},
      {"--caller prefix:web", "--caller: prefix \"web\" can never match"},
      {"--path a", "--path: path \"a\" must begin with /"},
      {"--path '/a/*'", "--path: '*' in \"/a/*\" is not a wildcard"},
      {"--path under:/a/", "--path: {under: \"/a/\"} ends at a segment border by itself"},
      {"--path 're2:('", "--path: "},
      {"--method get", "--method: must be a method in upper case, not \"get\""},
      {"--method prefix:G", "--method: must be a method in upper case, not "},
      {"--method '*'", "--method: '*' is no method"},
  };
  for (const auto& [words, said] : kRows) {
    Result result = Countersign(Concat("policy who-can ", folder, " ", words));
    EXPECT_EQ(result.exit_code, 2) << words << result.out;
    EXPECT_TRUE(result.out.starts_with(Concat("error: ", said))) << words << ": " << result.out;
  }
}

TEST(PolicyCommandsTest, WhoCanTakesExactWiderAndTemplatedValues) {
  TempDir dir;
  std::string folder = WriteSet(dir, Allow("a", "/a/**"));
  for (const char* words :
       {"--path /a/b", "--path exact:/a/b", "--path /a/{id}", "--path '/a/b/**'",
        "--path under:/a/b", "--path prefix:/a/", "--path suffix:/b", "--path 're2:/a/[0-9]+'",
        "--workload prefix:spiffe://"}) {
    Result result = Countersign(Concat("policy who-can ", folder, " ", words));
    EXPECT_EQ(result.exit_code, 0) << words << result.out;
  }
}

}  // namespace
}  // namespace countersign::cli
