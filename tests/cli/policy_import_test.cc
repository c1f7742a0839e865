// `countersign policy import` as its users meet it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/cli/run_countersign.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kOurs =
    "--trust-domain shop.example --owner spiffe://shop.example/people/warehouse-leads";

TEST(PolicyImportTest, TheMigratedNamespaceIsWhatItsSourceGives) {
  Result result = Countersign(
      Concat("policy import istio -f policies/migrated-istio/source.istio -o json ", kOurs));
  ASSERT_EQ(result.exit_code, 0) << result.out;
  auto committed = ReadFile(COUNTERSIGN_SOURCE_DIR "/policies/migrated-istio/set.yaml", 1 << 20);
  ASSERT_TRUE(committed.ok()) << committed.status();
  EXPECT_EQ(nlohmann::json::parse(result.out)["policies"], *committed);
}

TEST(PolicyImportTest, WhatIsImportedChecksAndIsLaidOut) {
  std::string import = Concat("policy import istio -f policies/migrated-istio/source.istio ", kOurs,
                              " | ", COUNTERSIGN_BIN_DIR, "/countersign ");
  Result check = Countersign(Concat(import, "policy check --strict -"));
  EXPECT_EQ(check.exit_code, 0) << check.out;
  EXPECT_THAT(check.out, HasSubstr("1 policy set, "));
  EXPECT_EQ(Countersign(Concat(import, "policy fmt --check -")).exit_code, 0);
}

TEST(PolicyImportTest, ARefusalPrintsNoPolicyAndEndsWithOne) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("custom.yaml"),
                                  "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                                  "metadata: { name: p, namespace: n }\n"
                                  "spec: { action: CUSTOM, rules: [{}] }\n",
                                  0600)
                  .ok());
  Result result = Countersign(Concat("policy import istio -f ", dir.path()));
  EXPECT_EQ(result.exit_code, 1) << result.out;
  EXPECT_THAT(result.out, HasSubstr("custom.yaml:4:7: action CUSTOM asks"));
  EXPECT_THAT(result.out, HasSubstr("1 source read; 1 error, 0 warnings; nothing was imported"));
  EXPECT_THAT(result.out, Not(HasSubstr("kind: PolicySet")));
}

TEST(PolicyImportTest, AFileThatIsNotThereEndsWithTwo) {
  EXPECT_EQ(Countersign("policy import istio -f /nonexistent").exit_code, 2);
  EXPECT_EQ(Countersign("policy import istio").exit_code, 2);
  EXPECT_EQ(Countersign("policy import linkerd -f policies").exit_code, 2);
  Result domain = Countersign(
      "policy import istio -f policies/migrated-istio/source.istio "
      "--trust-domain UPPER");
  EXPECT_EQ(domain.exit_code, 1);
  EXPECT_THAT(domain.out, HasSubstr("UPPER"));
}

}  // namespace
}  // namespace countersign::cli
