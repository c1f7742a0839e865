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
  std::vector<std::string> names;
  for (const auto& set : result.sets) {
    names.push_back(set->name);
    EXPECT_EQ(set->guardrail, set->name == "baseline-deny-all") << set->name;
    EXPECT_GE(set->tests.size(), 10u) << set->name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"admin-console", "baseline-deny-all", "brownfield",
                                             "catalog-grpc", "federation-partner", "shop",
                                             "tenant-header", "warehouse"}));
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
