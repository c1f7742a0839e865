// Which documents make a set, and that one broken set leaves the others alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "authz/kinds/printer.h"
#include "base/file.h"
#include "tests/authz/kinds/load_helper.h"
#include "tests/support/temp_dir.h"

namespace countersign::authz {
namespace {

std::string SetText(std::string_view name) {
  return Concat("apiVersion: countersign.dev/v1alpha1\nkind: PolicySet\nmetadata: { name: ", name,
                " }\nspec: { owner: { id: spiffe://td/ana }, scope: { under: spiffe://td } }\n");
}
std::string PolicyText(std::string_view name) {
  return Concat(
      "apiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: ", name,
      " }\nspec: { appliesTo: all, rules: [{ name: r, effect: deny, from: anyone }] }\n");
}

TEST(SetsTest, TheNearestSetFileAboveOwnsADocument) {
  std::vector<SourceFile> files = {{"p/set.yaml", SetText("outer")},
                                   {"p/a.yaml", PolicyText("a")},
                                   {"p/deep/er/b.yaml", PolicyText("b")},
                                   {"p/inner/set.yaml", SetText("inner")},
                                   {"p/inner/c.yaml", PolicyText("c")}};
  LoadResult result = Load(files);
  ASSERT_TRUE(result.ok()) << Findings(result);
  ASSERT_EQ(result.sets.size(), 2u);
  EXPECT_EQ(result.sets[0]->name, "inner");
  EXPECT_EQ(result.sets[0]->policies.size(), 1u);
  EXPECT_EQ(result.sets[1]->policies.size(), 2u);
}

TEST(SetsTest, SeveralSetsInOneStreamOwnWhatFollowsThem) {
  LoadResult result = LoadText(SetText("a") + "---\n" + PolicyText("p") + "---\n" + SetText("b") +
                               "---\n" + PolicyText("p") + "---\n" + PolicyText("q"));
  ASSERT_TRUE(result.ok()) << Findings(result);
  ASSERT_EQ(result.sets.size(), 2u);
  EXPECT_EQ(result.sets[0]->policies.size(), 1u);
  EXPECT_EQ(result.sets[1]->policies.size(), 2u);
}

TEST(SetsTest, AListOfDocumentsIsThoseDocuments) {
  const std::string set =
      R"({"apiVersion": "countersign.dev/v1alpha1", "kind": "PolicySet", "metadata": {"name": "a"},
"spec": {"owner": {"id": "spiffe://td/ana"}, "scope": {"under": "spiffe://td"}}})";
  const std::string policy =
      R"({"apiVersion": "countersign.dev/v1alpha1", "kind": "AccessPolicy",
"metadata": {"name": "p"}, "spec": {"appliesTo": "all",
"rules": [{"name": "r", "effect": "deny", "from": "anyone"}]}})";
  const std::string items = Concat("[", set, ",", policy, "]");
  const std::string list = Concat(
      R"({"apiVersion": "countersign.dev/v1alpha1", "kind": "List", "metadata": {"x": [1]}, "items": )",
      items, "}");
  std::string digest;
  for (const std::string& text : {items, list, Concat("[", list, "]"), set + "\n---\n" + policy}) {
    LoadResult result = LoadText(text);
    ASSERT_TRUE(result.ok()) << text << Findings(result);
    ASSERT_EQ(result.sets.size(), 1u);
    EXPECT_EQ(result.sets[0]->policies.size(), 1u);
    EXPECT_EQ(result.sets[0]->digest, digest.empty() ? result.sets[0]->digest : digest);
    digest = result.sets[0]->digest;
  }
  EXPECT_TRUE(LoadText("[]").ok());
}

TEST(SetsTest, ABrokenSetIsRefusedWholeAndOthersStay) {
  const std::string cases[] = {
      "a: [",
      "- 1\n",
      "apiVersion: countersign.dev/v1alpha1\nkind: List\nitems: []\nx: 1\n",
      PolicyText("p") + "x: 1\n",
      "apiVersion: countersign.dev/v1alpha1\nkind: Nothing\n",
      PolicyText("p") + "---\n" + PolicyText("p"),
      "a: \xff"};
  for (const std::string& broken : cases) {
    std::vector<SourceFile> files = {{"good/set.yaml", SetText("good")},
                                     {"good/p.yaml", PolicyText("p")},
                                     {"bad/set.yaml", SetText("bad")},
                                     {"bad/p.yaml", broken}};
    LoadResult result = Load(files);
    EXPECT_FALSE(result.ok());
    ASSERT_EQ(result.sets.size(), 1u) << broken << Findings(result);
    EXPECT_EQ(result.sets[0]->name, "good");
  }
}

TEST(SetsTest, TwoSetsOfOneNameAreBothRefused) {
  std::vector<SourceFile> files = {{"a/set.yaml", SetText("x")}, {"b/set.yaml", SetText("x")}};
  LoadResult result = Load(files);
  EXPECT_TRUE(result.sets.empty());
  EXPECT_THAT(Findings(result), testing::HasSubstr("b/set.yaml:1:1: a second PolicySet of the name "
                                                   "\"x\"; the first is at a/set.yaml:1"));
}

TEST(SetsTest, OfSeveralSetsInAFileNoneOwnsWhatStandsBefore) {
  for (int sets = 1; sets <= 4; ++sets) {
    std::string text = PolicyText("p");
    for (int i = 0; i < sets; ++i) {
      text += "---\n" + SetText(Concat("s", i));
    }
    LoadResult result = LoadText(text);
    EXPECT_EQ(result.ok(), sets == 1) << Findings(result);
    for (const auto& set : result.sets) {
      EXPECT_EQ(set->policies.size(), sets == 1 ? 1u : 0u);
    }
  }
}

TEST(SetsTest, AStoredPartKeepsTheDigestOfTheWhole) {
  auto set = OnlySet(SetText("x") + "---\n" + PolicyText("p") + "---\n" + PolicyText("q"));
  std::vector<std::string> part = {set->canonical_documents[0], set->canonical_documents[2]};
  auto loaded = LoadPolicySet(part, set->digest);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->policies.size(), 1u);
  EXPECT_EQ((*loaded)->digest, set->digest);
  auto own = LoadPolicySet(part);
  ASSERT_TRUE(own.ok());
  EXPECT_NE((*own)->digest, set->digest);
}

TEST(SetsTest, StoredDocumentsThatAreNoSetAreRefused) {
  auto set = OnlySet(SetText("x") + "---\n" + PolicyText("p"));
  const std::string& head = set->canonical_documents[0];
  const std::string& policy = set->canonical_documents[1];
  EXPECT_FALSE(LoadPolicySet(std::vector<std::string>{}).ok());
  EXPECT_FALSE(LoadPolicySet(std::vector<std::string>{policy}).ok());
  EXPECT_FALSE(LoadPolicySet(std::vector<std::string>{head, head}).ok());
  EXPECT_FALSE(LoadPolicySet(std::vector<std::string>{head, policy, policy}).ok());
  EXPECT_FALSE(LoadPolicySet(std::vector<std::string>{head, "{}"}).ok());
  EXPECT_FALSE(LoadService(policy).ok());
  EXPECT_FALSE(LoadRegistration("").ok());
}

TEST(SourcesTest, AFolderIsReadInOrderWithoutHiddenAndOtherFiles) {
  TempDir dir;
  ASSERT_TRUE(MakeFolder(dir.File("sub"), 0700).ok());
  ASSERT_TRUE(MakeFolder(dir.File(".git"), 0700).ok());
  for (const char* name : {"b.yaml", "a.yml", "sub/c.yaml", ".git/x.yaml", "notes.md", "d.json"}) {
    ASSERT_TRUE(WriteFileAtomically(dir.File(name), name, 0600).ok());
  }
  auto files = ReadSources(dir.path() + "/");
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 3u);
  EXPECT_EQ((*files)[0].path, dir.File("a.yml"));
  EXPECT_EQ((*files)[1].path, dir.File("b.yaml"));
  EXPECT_EQ((*files)[2].path, dir.File("sub/c.yaml"));
  EXPECT_EQ((*files)[2].content, "sub/c.yaml");
}

TEST(SourcesTest, AFolderGivesTheJsonFilesThatHoldDocuments) {
  TempDir dir;
  const std::string document = R"({"apiVersion":"countersign.dev/v1alpha1","kind":"PolicySet"})";
  ASSERT_TRUE(WriteFileAtomically(dir.File("set.json"), document, 0600).ok());
  ASSERT_TRUE(WriteFileAtomically(dir.File("mesh.json"), R"({"server":"127.0.0.1"})", 0600).ok());
  auto files = ReadSources(dir.path());
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ((*files)[0].path, dir.File("set.json"));
  EXPECT_EQ((*files)[0].content, document);
}

TEST(SourcesTest, ErrorsNameTheFileAndTheLimit) {
  TempDir dir;
  EXPECT_THAT(std::string(Message(ReadSources(dir.path()).status())),
              testing::HasSubstr("no .yaml or .yml file below it"));
  EXPECT_FALSE(ReadSources(dir.File("none.yaml")).ok());
  ASSERT_TRUE(
      WriteFileAtomically(dir.File("big.yaml"), std::string((1 << 20) + 1, '#'), 0600).ok());
  EXPECT_THAT(std::string(Message(ReadSources(dir.path()).status())),
              testing::AllOf(testing::HasSubstr("big.yaml"), testing::HasSubstr("1048576")));
}

TEST(SourcesTest, ALoopOfLinksEnds) {
  TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("a.yaml"), "", 0600).ok());
  std::filesystem::create_directory_symlink(dir.path(), dir.File("loop"));
  EXPECT_THAT(std::string(Message(ReadSources(dir.path()).status())),
              testing::HasSubstr("a loop of links?"));
}

TEST(PrinterTest, WhatItPrintsLoadsToTheSameDocument) {
  auto set = OnlySet(
      SetText("x") +
      "---\napiVersion: countersign.dev/v1alpha1\nkind: AccessPolicy\nmetadata: { name: 'no' }\n"
      "spec:\n  appliesTo: all\n  rules:\n    - name: 'true'\n      effect: allow\n"
      "      from: [{ id: spiffe://td/a, except: [{ peerIp: 10.0.0.1 }] }, { peerIp: '::1' }]\n"
      "      to: [{ path: ['/a/{b}', { re2: \"it's \\\"q\\\" \\t#: {\" }, { exact: '/*' }] }]\n"
      "      when: { headers: { x: 'on', y: '010', z: \"a\\nb\", w: '- a', v: '1e3', u: 'é' },\n"
      "        query: { 'a: b': { present: false }, '#': 'null' } }\n");
  std::string yaml;
  for (const std::string& document : set->canonical_documents) {
    auto printed = ToYaml(document);
    ASSERT_TRUE(printed.ok()) << printed.status();
    yaml += "---\n" + *printed;
  }
  auto again = OnlySet(yaml);
  EXPECT_EQ(again->canonical_documents, set->canonical_documents) << yaml;
  EXPECT_EQ(again->digest, set->digest);
}

TEST(PrinterTest, RefusesWhatIsNoDocument) {
  EXPECT_FALSE(ToYaml("").ok());
  EXPECT_FALSE(ToYaml("[1]").ok());
  EXPECT_FALSE(ToYaml("{").ok());
}

}  // namespace
}  // namespace countersign::authz
