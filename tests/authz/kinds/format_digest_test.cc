// Formatting a policy file never changes what it means: digests and findings stay.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "authz/yaml/format.h"
#include "base/file.h"
#include "tests/authz/kinds/load_helper.h"

namespace countersign::authz {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> TextsBelow(std::string_view folder) {
  std::vector<std::string> texts;
  for (const auto& entry :
       fs::recursive_directory_iterator(Concat(COUNTERSIGN_SOURCE_DIR, "/", folder),
                                        fs::directory_options::follow_directory_symlink)) {
    bool policy = entry.path().extension() == ".yaml" || folder.starts_with("tests/");
    if (entry.is_regular_file() && policy) {
      texts.push_back(*ReadFile(entry.path().string(), 8 << 20));
    }
  }
  return texts;
}

// What a file means: its sets' digests, its other documents, how many findings it has.
std::string MeaningOf(const std::string& text) {
  LoadResult result = LoadText(text, "d/set.yaml");
  std::string out = Concat(result.diagnostics.size());
  for (const auto& set : result.sets) {
    out += Concat(" ", set->digest);
  }
  for (const Registration& registration : result.registrations) {
    out += registration.canonical_json;
  }
  for (const Service& service : result.services) {
    out += service.canonical_json;
  }
  for (const Route& route : result.routes) {
    out += route.canonical_json;
  }
  return out;
}

TEST(FormatDigestTest, CorpusFilesKeepTheirMeaning) {
  size_t formatted = 0;
  for (const std::string& text : TextsBelow("tests/fuzz/corpus/policy_file")) {
    StatusOr<std::string> out = yaml::FormatText(text);
    if (!out.ok()) {
      continue;  // No YAML that a policy file may be; nothing is written then.
    }
    ++formatted;
    EXPECT_EQ(MeaningOf(*out), MeaningOf(text)) << text;
    EXPECT_EQ(*yaml::FormatText(*out), *out) << text;
  }
  EXPECT_GE(formatted, 5u);
}

// The file in another layout: wider steps, blanks around, comments, line ends of another system.
std::string Disturbed(std::string_view text, std::mt19937& random) {
  size_t wider = 1 + random() % 4;
  std::string out;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
    size_t column = line.find_first_not_of(' ');
    if (column == std::string_view::npos) {
      out += std::string(random() % 3, '\n') + "\n";
      continue;
    }
    bool dash = line.substr(column).starts_with("- ");
    out += std::string(column * wider, ' ');
    // A key behind a dash stands where its fellows in the lines below stand.
    out += dash ? Concat("-", std::string(2 * wider - 1, ' '), line.substr(column + 2))
                : std::string(line.substr(column));
    out += Concat(std::string(random() % 3, ' '), random() % 2 == 0 ? "\r\n" : "\n");
  }
  return out;
}

TEST(FormatDigestTest, ShippedFilesComeBackFromAnyLayout) {
  std::mt19937 random(4);
  size_t files = 0;
  for (std::string_view folder : {"policies", "examples/shop"}) {
    for (const std::string& text : TextsBelow(folder)) {
      ++files;
      std::string meaning = MeaningOf(text);
      for (int round = 0; round < 20; ++round) {
        std::string disturbed = Disturbed(text, random);
        StatusOr<std::string> out = yaml::FormatText(disturbed);
        ASSERT_TRUE(out.ok()) << out.status() << disturbed;
        EXPECT_EQ(MeaningOf(*out), meaning) << disturbed;
        EXPECT_EQ(*out, text) << disturbed;
      }
    }
  }
  EXPECT_GE(files, 12u);
}

}  // namespace
}  // namespace countersign::authz
