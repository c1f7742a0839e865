// Every file that the project ships loads.
#include <gtest/gtest.h>

#include "authz/kinds/loader.h"
#include "authz/kinds/printer.h"

namespace countersign::authz {
namespace {

LoadResult LoadFolder(std::string_view name) {
  StatusOr<std::vector<SourceFile>> files = ReadSources(Concat(COUNTERSIGN_SOURCE_DIR, "/", name));
  EXPECT_TRUE(files.ok()) << files.status();
  LoadResult result = files.ok() ? Load(*files) : LoadResult();
  for (const Diagnostic& diagnostic : result.diagnostics) {
    ADD_FAILURE() << FormatDiagnostic(diagnostic);
  }
  return result;
}

TEST(ShippedFilesTest, PoliciesLoad) {
  LoadResult result = LoadFolder("policies");
  ASSERT_EQ(result.sets.size(), 2u);
  EXPECT_EQ(result.sets[0]->name, "baseline-deny-all");
  EXPECT_TRUE(result.sets[0]->guardrail);
  EXPECT_EQ(result.sets[1]->name, "shop");
  EXPECT_EQ(result.sets[1]->policies.size(), 2u);
  EXPECT_EQ(result.sets[1]->tests.size(), 14u);
}

TEST(ShippedFilesTest, TheShopLoads) {
  LoadResult result = LoadFolder("examples/shop");
  EXPECT_EQ(result.sets.size(), 1u);
  EXPECT_EQ(result.registrations.size(), 3u);
  EXPECT_EQ(result.services.size(), 2u);
  EXPECT_EQ(result.routes.size(), 2u);
}

TEST(ShippedFilesTest, StoredDocumentsLoadToTheSame) {
  LoadResult result = LoadFolder("examples/shop");
  ASSERT_FALSE(result.sets.empty());
  const PolicySet& set = *result.sets.front();
  auto stored = LoadPolicySet(set.canonical_documents);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ((*stored)->digest, set.digest);
  for (const Service& service : result.services) {
    auto again = LoadService(service.canonical_json);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->canonical_json, service.canonical_json);
    auto yaml = ToYaml(service.canonical_json);
    ASSERT_TRUE(yaml.ok());
    auto from_yaml = LoadService(*yaml);
    ASSERT_TRUE(from_yaml.ok()) << from_yaml.status() << "\n" << *yaml;
    EXPECT_EQ(from_yaml->canonical_json, service.canonical_json) << *yaml;
  }
}

}  // namespace
}  // namespace countersign::authz
