// The verbs for authors, run as people run them: fmt, schema, coverage, generated cases, SARIF.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
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

constexpr std::string_view kCrooked =
    "# The shop.\n"
    "apiVersion: countersign.dev/v1alpha1\n"
    "kind:   PolicySet\n"
    "metadata: {name: shop}\n"
    "spec:\n"
    "    owner: {id: spiffe://td/ana}   # Answers for it.\n"
    "    scope: {under: spiffe://td}\n\n\n";
constexpr std::string_view kStraight =
    "# The shop.\n"
    "apiVersion: countersign.dev/v1alpha1\n"
    "kind: PolicySet\n"
    "metadata: { name: shop }\n"
    "spec:\n"
    "  owner: { id: spiffe://td/ana }   # Answers for it.\n"
    "  scope: { under: spiffe://td }\n";

class PolicyFmtTest : public testing::Test {
 protected:
  PolicyFmtTest() { EXPECT_TRUE(WriteFileAtomically(path_, kCrooked, 0640).ok()); }
  std::string Content() { return *ReadFile(path_, 1 << 20); }
  TempDir dir_;
  std::string path_ = dir_.File("set.yaml");
};

TEST_F(PolicyFmtTest, PrintsOneFileAndLeavesItAlone) {
  Result fmt = Countersign(Concat("policy fmt ", path_));
  EXPECT_EQ(fmt.exit_code, 0);
  EXPECT_EQ(fmt.out, kStraight);
  EXPECT_EQ(Content(), kCrooked);
  EXPECT_EQ(Countersign(Concat("policy fmt - < ", path_)).out, kStraight);
}

TEST_F(PolicyFmtTest, CheckNamesTheFilesAndChangesNothing) {
  Result check = Countersign(Concat("policy fmt --check ", dir_.path()));
  EXPECT_EQ(check.exit_code, 1);
  EXPECT_EQ(check.out, path_ + "\n");
  EXPECT_EQ(Content(), kCrooked);
}

TEST_F(PolicyFmtTest, WriteRewritesKeepsPermissionsAndDigest) {
  std::string before = Countersign(Concat("policy check ", dir_.path())).out;
  Result write = Countersign(Concat("policy fmt -w ", dir_.path()));
  EXPECT_EQ(write.exit_code, 0) << write.out;
  EXPECT_EQ(Content(), kStraight);
  EXPECT_EQ(Countersign(Concat("policy check ", dir_.path())).out, before);
  EXPECT_EQ(Countersign(Concat("policy fmt --check ", dir_.path())).exit_code, 0);
  EXPECT_EQ(Countersign(Concat("policy fmt -w ", dir_.path())).out, "");
  Result mode = Countersign(Concat("--version > /dev/null; stat -c %a ", path_));
  EXPECT_EQ(mode.out, "640\n");
}

TEST_F(PolicyFmtTest, RefusesWhatIsNoYamlAndSeveralFilesAtOnce) {
  ASSERT_TRUE(WriteFileAtomically(dir_.File("other.yaml"), "a: [\n", 0600).ok());
  Result several = Countersign(Concat("policy fmt ", dir_.path()));
  EXPECT_EQ(several.exit_code, 2);
  EXPECT_THAT(several.out, HasSubstr("say -w (rewrite them) or --check (name them)"));
  Result broken = Countersign(Concat("policy fmt -w ", dir_.path()));
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(broken.out, HasSubstr("other.yaml:2:1: not YAML"));
  EXPECT_EQ(Content(), kStraight);  // The good one is formatted all the same.
  EXPECT_EQ(Countersign(Concat("policy fmt -w --check ", dir_.path())).exit_code, 2);
}

TEST(PolicyFilesTest, WhatTheProjectShipsIsLaidOutAsFmtDoes) {
  Result check = Countersign("policy fmt --check policies examples/shop");
  EXPECT_EQ(check.exit_code, 0) << check.out;
}

TEST(PolicyFilesTest, WhatTheProjectShipsIsCoveredByItsTests) {
  Result test = Countersign("policy test --coverage --min-coverage 100 policies");
  EXPECT_EQ(test.exit_code, 0) << test.out;
  EXPECT_THAT(test.out, HasSubstr("coverage: rules 100%, fields 100%, borders 100%"));
  std::printf("%s", test.out.c_str());
}

TEST(PolicyFilesTest, EachSetChecksAndTestsWellByItself) {
  for (const char* set : {"admin-console", "baseline-deny-all", "brownfield", "catalog-grpc",
                          "federation-partner", "migrated-istio", "shop", "tenant-header"}) {
    Result check = Countersign(Concat("policy check --strict policies/", set));
    EXPECT_EQ(check.exit_code, 0) << check.out;
    EXPECT_THAT(check.out, HasSubstr("1 policy set, ")) << set;
    Result test = Countersign(Concat("policy test -o json policies/", set));
    EXPECT_EQ(test.exit_code, 0) << test.out;
    EXPECT_GE(Json(test)["cases"].size(), 3u) << set;
  }
}

TEST(PolicyCoverageTest, SaysWhatNoCaseTries) {
  TempDir dir;
  std::string policies = Concat(
      kStraight,
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec:\n  appliesTo: all\n  rules:\n    - name: r\n      effect: allow\n"
      "      from: [{ id: spiffe://td/a }]\n");
  ASSERT_TRUE(WriteFileAtomically(dir.File("set.yaml"), policies, 0600).ok());
  Result text = Countersign(Concat("policy test --coverage ", dir.path()));
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("set.yaml:15:7: rule shop/p/r: no case matches it"));
  EXPECT_THAT(text.out, HasSubstr("set.yaml:17:20: shop/p/r, from id: never true, never false"));
  EXPECT_THAT(text.out, HasSubstr("coverage: rules 0%, fields 0%, borders 0%"));
  Result too_little = Countersign(Concat("policy test --min-coverage 1 -o json ", dir.path()));
  EXPECT_EQ(too_little.exit_code, 1);
  // Without what standard error says of it.
  Result told = Countersign(
      Concat("policy test --min-coverage 1 -o json ", dir.path(), " 2>/dev/null | cat"));
  EXPECT_EQ(Json(told)["ok"], false);
  EXPECT_EQ(Json(told)["coverage"]["boundaryPercent"], 0);
  EXPECT_EQ(Json(told)["coverage"]["predicates"][0]["predicate"], "from id");
  EXPECT_EQ(Countersign(Concat("policy test --min-coverage 101 ", dir.path())).exit_code, 2);

  Result generated = Countersign(
      Concat("policy test --generate ", dir.path(), " | tee ", dir.File("borders.yaml")));
  EXPECT_THAT(generated.out, HasSubstr("kind: PolicyTest"));
  Result covered = Countersign(Concat("policy test --min-coverage 100 ", dir.path()));
  EXPECT_EQ(covered.exit_code, 0) << covered.out << generated.out;
}

TEST(SchemaTest, IsPrintedWholeAndByKind) {
  nlohmann::json whole = Json(Countersign("schema"));
  EXPECT_EQ(whole["$schema"], "http://json-schema.org/draft-07/schema#");
  EXPECT_GE(whole["allOf"].size(), 8u);
  EXPECT_EQ(Json(Countersign("schema accesspolicy"))["title"], "AccessPolicy");
  Result unknown = Countersign("schema accespolicy");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.out, HasSubstr("did you mean \"AccessPolicy\"?"));
}

// What SARIF 2.1.0 requires of a log with results (sections 3.13, 3.14, 3.19, 3.27 to 3.30).
void ExpectSarif(const nlohmann::json& log) {
  EXPECT_EQ(log["version"], "2.1.0");
  ASSERT_EQ(log["runs"].size(), 1u);
  const nlohmann::json& run = log["runs"][0];
  const nlohmann::json& driver = run["tool"]["driver"];
  EXPECT_EQ(driver["name"], "countersign");
  EXPECT_EQ(run["columnKind"], "unicodeCodePoints");
  ASSERT_TRUE(run["results"].is_array());
  for (const nlohmann::json& rule : driver["rules"]) {
    EXPECT_FALSE(rule["id"].get<std::string>().empty());
    EXPECT_FALSE(rule["shortDescription"]["text"].get<std::string>().empty());
  }
  for (const nlohmann::json& result : run["results"]) {
    size_t rule = result["ruleIndex"].get<size_t>();
    ASSERT_LT(rule, driver["rules"].size());
    EXPECT_EQ(driver["rules"][rule]["id"], result["ruleId"]);
    EXPECT_TRUE(result["level"] == "error" || result["level"] == "warning");
    EXPECT_FALSE(result["message"]["text"].get<std::string>().empty());
    ASSERT_EQ(result["locations"].size(), 1u);
    const nlohmann::json& place = result["locations"][0]["physicalLocation"];
    EXPECT_FALSE(place["artifactLocation"]["uri"].get<std::string>().empty());
    EXPECT_GE(place["region"]["startLine"].get<int>(), 1);
    EXPECT_GE(place["region"]["startColumn"].get<int>(), 1);
  }
}

TEST(SarifTest, FindingsHaveRulesLevelsAndPlaces) {
  TempDir dir;
  std::string policies = Concat(
      kStraight,
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\n"
      "spec:\n  appliesTo: all\n  rules:\n    - { name: \"\u00e9\", efect: allow, from: anyone "
      "}\n");
  std::string path = dir.File("a b.yaml");
  ASSERT_TRUE(WriteFileAtomically(path, policies, 0600).ok());
  Result check = Countersign(Concat("policy check -o sarif ", dir.path()));
  EXPECT_EQ(check.exit_code, 1);
  nlohmann::json log = Json(check);
  ExpectSarif(log);
  const nlohmann::json& results = log["runs"][0]["results"];
  ASSERT_EQ(results.size(), 3u) << check.out;
  EXPECT_EQ(results[0]["ruleId"], "load");
  EXPECT_EQ(results[0]["level"], "error");
  const nlohmann::json& place = results[2]["locations"][0]["physicalLocation"];
  EXPECT_EQ(place["artifactLocation"]["uri"], Concat("file://", dir.path(), "/a%20b.yaml"));
  EXPECT_THAT(results[2]["message"]["text"].get<std::string>(),
              HasSubstr("unknown key \"efect\" (did you mean \"effect\"?)"));
  EXPECT_EQ(place["region"]["startLine"], 15);
  EXPECT_EQ(place["region"]["startColumn"], 20);  // Of letters: the name has one of two bytes.
}

TEST(SarifTest, WarningsAreWarningsAndNoFindingIsAnEmptyList) {
  TempDir dir;
  std::string policies =
      Concat(kStraight,
             "---\napiVersion: countersign.dev/v1alpha1\nkind: IdentitySet\nmetadata: { name: i }\n"
             "spec: { ids: [spiffe://td/a] }\n");
  ASSERT_TRUE(WriteFileAtomically(dir.File("set.yaml"), policies, 0600).ok());
  nlohmann::json log = Json(Countersign(Concat("policy check -o sarif ", dir.path())));
  ExpectSarif(log);
  ASSERT_EQ(log["runs"][0]["results"].size(), 1u);
  EXPECT_EQ(log["runs"][0]["results"][0]["level"], "warning");
  EXPECT_EQ(log["runs"][0]["results"][0]["ruleId"], "lint");
  Result good = Countersign("policy check -o sarif policies/shop");
  EXPECT_EQ(good.exit_code, 0);
  ExpectSarif(Json(good));
  EXPECT_TRUE(Json(good)["runs"][0]["results"].empty());
  // A relative path stays a relative reference, as code hosts want it.
  EXPECT_THAT(
      Countersign("policy check -o sarif tests/fuzz/corpus/policy_file/../../../../README.md").out,
      HasSubstr("\"uri\": \"tests/fuzz"));
}

}  // namespace
}  // namespace countersign::cli
