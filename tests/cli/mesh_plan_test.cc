#include "cli/dev/mesh_plan.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace countersign::cli::dev {
namespace {

constexpr const char* kSmall =
    R"({"trustDomain": "a.example", "node": "n", "serverAddress": "127.0.0.1:1",
  "apply": [], "applications": [], "proxies": [
    {"name": "web", "registration": "web", "uid": 5, "admin": "127.0.0.1:2", "flags": []}]})";

StatusOr<MeshPlan> Read(const std::string& text) {
  TempDir folder;
  CHECK(WriteFileAtomically(folder.File("mesh.json"), text, 0600).ok());
  return ReadMeshPlan(folder.path());
}

TEST(MeshPlanTest, TheShopsPlanReads) {
  StatusOr<MeshPlan> plan = ReadMeshPlan(COUNTERSIGN_SOURCE_DIR "/examples/shop");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->trust_domain, "shop.example");
  EXPECT_EQ(plan->proxies.size(), 4u);
  for (const ApplicationPlan& application : plan->applications) {
    EXPECT_NE(application.account.uid, application.proxy_gid);
  }
}

TEST(MeshPlanTest, EveryAddressThatThePlanItselfNamesIsPlanned) {
  StatusOr<MeshPlan> plan = ReadMeshPlan(COUNTERSIGN_SOURCE_DIR "/examples/shop");
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::string all;
  for (const PlannedListener& listener : PlannedListeners(*plan)) {
    all += Concat(listener.who, "=", listener.address, " ");
  }
  EXPECT_EQ(all,
            "server=127.0.0.1:18981 web=127.0.0.1:15020 orders-1=127.0.0.1:15021 "
            "orders-1=127.0.0.1:18443 orders-2=127.0.0.1:15022 orders-2=127.0.0.1:18444 "
            "orders-2=127.0.0.1:18083 orders-2=127.0.0.1:18085 billing=127.0.0.1:15023 ");
}

TEST(MeshPlanTest, UnknownMissingAndDoubledThingsAreRefused) {
  EXPECT_TRUE(Read(kSmall).ok());
  std::string text = kSmall;
  EXPECT_FALSE(Read("[]").ok());
  EXPECT_FALSE(Read("{").ok());
  EXPECT_FALSE(Read(text.substr(0, 1) + "\"x\": 1, " + text.substr(1)).ok());
  std::string missing = text;
  missing.replace(missing.find("\"node\": \"n\", "), 13, "");
  EXPECT_NE(Message(Read(missing).status()).find(".node is missing"), std::string_view::npos);
  std::string server = text;
  server.replace(server.find("\"name\": \"web\""), 13, "\"name\": \"server\"");
  EXPECT_FALSE(Read(server).ok());
}

TEST(MeshPlanTest, RenderReplacesPlaceholdersAndRefusesUnknownOnes) {
  EXPECT_EQ(*Render("a {{run}}/b {c}", {{"run", "/x"}}), "a /x/b {c}");
  EXPECT_FALSE(Render("{{walk}}", {{"run", "/x"}}).ok());
  EXPECT_FALSE(Render("{{run", {{"run", "/x"}}).ok());
}

}  // namespace
}  // namespace countersign::cli::dev
