// Files made to hurt: each ends in an error soon, whatever it multiplies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

using testing::HasSubstr;

// Of processor time, so that a busy machine does not count. An optimised build needs less than one;
// without optimisation and with sanitizers it is several times as much.
constexpr double kSecondsMax = 10.0;

LoadResult LoadSoon(const std::vector<SourceFile>& files) {
  std::clock_t start = std::clock();
  LoadResult result = Load(files);
  double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_LT(took, kSecondsMax);
  EXPECT_FALSE(result.ok());
  EXPECT_TRUE(result.sets.empty());
  EXPECT_LE(result.diagnostics.size(), LoaderLimits::kDiagnosticsMax + 1);
  return result;
}
LoadResult LoadSoon(std::string text) {
  return LoadSoon(std::vector<SourceFile>{{"set.yaml", std::move(text)}});
}

// Rules with the lines that `make` gives for each number, until the file is nearly full.
template <class Make>
std::string ManyRules(Make make) {
  std::string text = Concat(kSetHead, "  appliesTo: all\n  rules:\n");
  for (int i = 0; text.size() < 1'000'000; ++i) {
    text += make(i);
  }
  return text;
}

TEST(HostileFilesTest, AHundredMegabytes) {
  EXPECT_THAT(Findings(LoadSoon(std::string(100 << 20, 'a'))), HasSubstr("at most 1048576"));
}

TEST(HostileFilesTest, AMegabyteOfPattern) {
  std::string pattern(900'000, 'a');
  EXPECT_THAT(Findings(LoadSoon(WithTo(Concat("{ path: { re2: '", pattern, "' } }")))),
              HasSubstr("at most 16384 are allowed"));
}

TEST(HostileFilesTest, PatternsThatGrowWhenCompiled) {
  std::string wide;
  for (int i = 0; i < 60; ++i) {
    wide += "[^a]{999}";
  }
  for (const std::string& pattern :
       {std::string("(a{1000}){1000}"), std::string("((((a{30}){30}){30}){30}){30}"),
        std::string("(.{0,1000}){1,1000}"), wide}) {
    EXPECT_THAT(Findings(LoadSoon(WithTo(Concat("{ path: { re2: '", pattern, "' } }")))),
                HasSubstr("bad pattern"));
  }
}

// One rule with paths that `make` gives for each number.
template <class Make>
std::string ManyPaths(Make make) {
  std::string paths = "{ path: [";
  for (int i = 0; paths.size() < 900'000; ++i) {
    paths += Concat(make(i), ",\n");
  }
  return WithTo(paths + "] }");
}

TEST(HostileFilesTest, ThousandsOfExpensivePatterns) {
  LoadResult result =
      LoadSoon(ManyPaths([](int i) { return Concat("{ re2: '[^a]{999}[^b]{999}", i, "' }"); }));
  EXPECT_THAT(Findings(result), HasSubstr("the patterns of this file together need more than"));
}

TEST(HostileFilesTest, ThousandsOfPatternsThatFail) {
  LoadSoon(ManyPaths([](int i) { return Concat("{ re2: '([^a]{999}", i, "){900}' }"); }));
}

TEST(HostileFilesTest, ThousandsOfErrors) {
  LoadResult result = LoadSoon(ManyRules(
      [](int i) { return Concat("    - { nam", i, ": r, efect: alow, form: anyone }\n"); }));
  EXPECT_THAT(Findings(result), HasSubstr("unknown key \"nam0\""));
  EXPECT_EQ(result.diagnostics.size(), LoaderLimits::kDiagnosticsMax);
}

TEST(HostileFilesTest, ThousandsOfUnknownRulesInTests) {
  std::string text = ManyRules(
      [](int i) { return Concat("    - { name: r", i, ", effect: deny, from: anyone }\n"); });
  text.resize(text.rfind("    - ", 400'000));
  text +=
      "---\napiVersion: countersign.dev/v1alpha1\nkind: PolicyTest\nmetadata: { name: t }\n"
      "spec:\n  cases:\n";
  for (int i = 0; text.size() < 1'000'000; ++i) {
    text += Concat("    - { name: c", i,
                   ", request: { kind: tcp, workload: spiffe://td/a }, expect: "
                   "deny, rule: shop/p/q",
                   i, " }\n");
  }
  LoadSoon(text);
}

TEST(HostileFilesTest, AnIdentitySetInEveryRule) {
  std::string rules = ManyRules([](int i) {
    return Concat("    - { name: r", i, ", effect: deny, from: [{ identitySet: all }] }\n");
  });
  rules.resize(rules.rfind("    - ", 200'000));
  std::string ids = Head("IdentitySet", "  ids:\n");
  ids.replace(ids.find("name: x"), 7, "name: all");
  for (int i = 0; ids.size() < 1'000'000; ++i) {
    ids += Concat("    - spiffe://td/", i, "\n");
  }
  LoadResult result = LoadSoon({{"d/set.yaml", rules}, {"d/ids.yaml", ids}});
  EXPECT_THAT(Findings(result), HasSubstr("members in all"));
}

TEST(HostileFilesTest, ARuleOfTenThousandEntries) {
  std::string entries = "[";
  for (int i = 0; entries.size() < 900'000; ++i) {
    entries += Concat("{ id: spiffe://td/a", i, ", peerIp: 10.", i / 256, ".", i % 256, ".1 },\n");
  }
  EXPECT_THAT(Findings(LoadSoon(WithFrom(entries + "]"))), HasSubstr("boxes: at most 64"));
}

TEST(HostileFilesTest, ExceptionsThatMultiply) {
  std::string exceptions = "[";
  for (int i = 0; i < 1000; ++i) {
    exceptions += Concat("{ id: spiffe://td/a", i, ", peerIp: 10.0.", i / 256, ".", i % 256, " },");
  }
  EXPECT_THAT(Findings(LoadSoon(
                  WithFrom(Concat("[{ id: { under: spiffe://td }, except: ", exceptions, "] }]")))),
              HasSubstr("boxes: at most 64"));
}

}  // namespace
}  // namespace countersign::authz
