// The one layout of policy files: what changes, what stays, what is left alone.
#include "authz/yaml/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace countersign::authz::yaml {
namespace {

using testing::HasSubstr;

std::string Formatted(std::string_view text) {
  StatusOr<std::string> out = FormatText(text);
  EXPECT_TRUE(out.ok()) << out.status() << "\n" << text;
  return out.ok() ? *out : "";
}

struct Row {
  const char* name;
  std::string_view text;
  std::string_view formatted;
};

void ExpectFormatted(const std::vector<Row>& table) {
  for (const Row& row : table) {
    EXPECT_EQ(Formatted(row.text), row.formatted) << row.name;
    EXPECT_EQ(Formatted(row.formatted), row.formatted) << row.name << ", again";
  }
}

TEST(FormatTextTest, LaysBlocksOutByTwo) {
  ExpectFormatted({
      {"wide steps", "a:\n    b:\n        c: 1\n    d: 2\n", "a:\n  b:\n    c: 1\n  d: 2\n"},
      {"lists below their key", "a:\n- b\n- c\nd: 1\n", "a:\n  - b\n  - c\nd: 1\n"},
      {"maps in lists", "a:\n-   b: 1\n    c: 2\n-   d: 3\n", "a:\n  - b: 1\n    c: 2\n  - d: 3\n"},
      {"lists in lists", "-   -  a\n    -  b\n- c\n", "- - a\n  - b\n- c\n"},
      {"a list at the key's own column within a list", "- a:\n  - b\n  c: 1\n",
       "- a:\n    - b\n  c: 1\n"},
      {"blanks after the colon", "a:    1\nb :  2\n", "a: 1\nb: 2\n"},
      {"a value on a line of its own", "a:\n     b\nc:\n   - d\n", "a:\n  b\nc:\n  - d\n"},
      {"quoted keys", "\"a: b\":   1\n'it''s' :  2\n", "\"a: b\": 1\n'it''s': 2\n"},
      {"a colon within a value", "a:  spiffe://td/x\n", "a: spiffe://td/x\n"},
      {"texts over several lines", "a: b\n     c\nd: 1\n", "a: b\n  c\nd: 1\n"},
      {"trailing blanks and carriage returns", "a: 1  \r\nb: 2\t\n", "a: 1\nb: 2\n"},
      {"no line feed at the end", "a: 1", "a: 1\n"},
      {"empty lines", "\n\na: 1\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"},
      {"documents", "a: 1\n---\n\n\nb:\n    c: 1\n...\n", "a: 1\n---\n\nb:\n  c: 1\n...\n"},
      {"nothing", "", ""},
  });
}

TEST(FormatTextTest, KeepsEveryComment) {
  ExpectFormatted({
      {"on top", "# one\n#two\n\na: 1\n", "# one\n#two\n\na: 1\n"},
      {"behind a value", "a:  1    # why\n", "a: 1    # why\n"},
      {"behind a key", "a:   # why\n    b: 1\n", "a:   # why\n  b: 1\n"},
      {"behind a dash", "-  # why\n    a: 1\n", "-  # why\n  a: 1\n"},
      {"above a deeper line", "a:\n    # why\n    b: 1\n", "a:\n  # why\n  b: 1\n"},
      {"at another column than its line", "a:\n  # why\n      b: 1\n", "a:\n  # why\n  b: 1\n"},
      {"at the end of a block", "a:\n    b: 1\n    # last\nc: 1\n", "a:\n  b: 1\n  # last\nc: 1\n"},
      {"at the end", "a:\n    b: 1\n    # last\n# of all\n", "a:\n  b: 1\n  # last\n# of all\n"},
      {"behind a marker", "---  # first\na: 1\n", "---  # first\na: 1\n"},
      {"within brackets", "a: [b,   # why\n c]\n", "a: [b,   # why\n  c]\n"},
      {"that looks like a key", "a:\n    # b: 1\n    c: 1\n", "a:\n  # b: 1\n  c: 1\n"},
      {"no comment", "a: b#c\nd: 'e # f'\n", "a: b#c\nd: 'e # f'\n"},
  });
}

TEST(FormatTextTest, LaysBracketsOut) {
  ExpectFormatted({
      {"maps", "a: {b: 1,c:   2}\n", "a: { b: 1, c: 2 }\n"},
      {"lists", "a: [ b,c ,d ]\n", "a: [b, c, d]\n"},
      {"nested", "a: [{b: [c]},{ d: {e: 1}}]\n", "a: [{ b: [c] }, { d: { e: 1 } }]\n"},
      {"empty", "a: {  }\nb: [  ]\n", "a: {}\nb: []\n"},
      {"JSON", "{\"a\":{\"b\":[1,true,\"x, y\"]}}\n",
       "{ \"a\": { \"b\": [1, true, \"x, y\"] } }\n"},
      {"quotes keep what is in them", "a: ['b,  c', \"d\\\"}:  e\", 'it''s, {so}']\n",
       "a: ['b,  c', \"d\\\"}:  e\", 'it''s, {so}']\n"},
      {"texts keep their blanks", "a: [b  c, d:e]\n", "a: [b  c, d:e]\n"},
      {"several lines", "a:   [\n        b,\n        c\n     ]\n",
       "a: [\n        b,\n        c\n     ]\n"},
      {"several lines that move", "a:\n    b: {c: 1,\n        d: 2}\n",
       "a:\n  b: { c: 1,\n      d: 2 }\n"},
      {"in a list", "-   {a: 1}\n-   [b]\n", "- { a: 1 }\n- [b]\n"},
  });
}

TEST(FormatTextTest, KeepsBlockTextsToTheByte) {
  ExpectFormatted({
      {"literal", "a: |\n        b  \n          c\n\n        d\ne: 1\n",
       "a: |\n  b  \n    c\n\n  d\ne: 1\n"},
      {"folded", "a:\n    b: >-\n        c\n        d\n", "a:\n  b: >-\n    c\n    d\n"},
      {"kept line feeds", "a: |+\n    b\n\n\nc: 1\n", "a: |+\n  b\n\n\nc: 1\n"},
      {"a fixed step", "a:\n    b: |2\n        c\n", "a:\n  b: |2\n      c\n"},
      {"no comment and no key in it", "a: |\n    # no\n    b:   1\n", "a: |\n  # no\n  b:   1\n"},
      {"in a list", "-   |\n    a\n-   b\n", "- |\n  a\n- b\n"},
  });
}

TEST(FormatTextTest, RefusesWhatItCannotKeep) {
  struct Refusal {
    std::string_view text;
    const char* words;
  };
  for (const Refusal& row : std::vector<Refusal>{
           {"a: [", "not YAML"},
           {"a: 1\na: 2\n", "2:1: duplicate key \"a\""},
           {"a: &x 1\n", "1:4: anchors"},
           {"--- a\n", "1:5: begin the document on the line after ---"},
           {"%YAML 1.2\n---\na: 1\n", "1:1: fmt does not lay out"},
       }) {
    StatusOr<std::string> out = FormatText(row.text);
    ASSERT_FALSE(out.ok()) << row.text;
    EXPECT_THAT(std::string(Message(out.status())), HasSubstr(row.words)) << row.text;
  }
}

// A random tree, written in a random layout.
class Writer {
 public:
  explicit Writer(uint32_t seed) : random_(seed) {}

  std::string Document() {
    out_.clear();
    Map(0, 3);
    return out_;
  }

 private:
  size_t Draw(size_t below) { return random_() % below; }
  void Comment(size_t column) {
    if (Draw(6) == 0) {
      out_ += std::string(Draw(3) == 0 ? Draw(9) : column, ' ') + "# note: [x\n";
    }
    out_ += std::string(Draw(8) == 0 ? Draw(3) : 0, '\n');
  }
  std::string Flow(int depth) {
    std::string blanks(Draw(3), ' ');
    if (depth > 0 && Draw(3) == 0) {
      return "[" + blanks + Flow(depth - 1) + "," + blanks + Flow(depth - 1) + blanks + "]";
    }
    if (depth > 0 && Draw(3) == 0) {
      return "{" + blanks + "a: " + blanks + Flow(depth - 1) + blanks + ",b: 1" + blanks + "}";
    }
    constexpr const char* kTexts[] = {"x",          "'a # b'", "\"c\\\"}: d\"", "spiffe://td/a",
                                      "10.0.0.0/8", "it's",    "'it''s'",       "a  b",
                                      "'- x'",      "/a/**"};
    return kTexts[Draw(std::size(kTexts))];
  }
  void Value(size_t column, int depth) {
    size_t kind = depth == 0 ? 0 : Draw(5);
    size_t step = 1 + Draw(5);
    if (kind == 0 || kind == 1) {
      out_ += std::string(1 + Draw(3), ' ') + Flow(2) + (Draw(5) == 0 ? "   # why, {so\n" : "\n");
    } else if (kind == 2) {
      out_ += Draw(2) == 0 ? " |\n" : "   >-  # why\n";
      std::string indent(column + step, ' ');
      out_ += indent + "one: [\n" + indent + "  # two  \n\n" + indent + "three\n";
    } else if (kind == 3) {
      out_ += "\n";
      Map(column + step, depth - 1);
    } else {
      out_ += "\n";
      size_t at = Draw(2) == 0 ? column : column + step;
      for (size_t i = 0; i <= Draw(3); ++i) {
        Comment(at);
        size_t blanks = 1 + Draw(3);
        out_ += std::string(at, ' ') + "-";
        if (Draw(2) == 0) {
          out_ += std::string(blanks, ' ') + "k: v\n";
          Map(at + 1 + blanks, depth - 1);
        } else {
          out_ += " " + Flow(2) + "\n";
        }
      }
    }
  }
  void Map(size_t column, int depth) {
    for (size_t i = 0; i <= Draw(3); ++i) {
      Comment(column);
      out_ += std::string(column, ' ') + "key" + std::to_string(count_++) + ":";
      Value(column, depth);
    }
  }
  std::mt19937 random_;
  std::string out_;
  size_t count_ = 0;
};

// FormatText proves its own result (the same trees, the same bytes but blanks, a fixed point), so
// that what is left to see is that it succeeds.
TEST(FormatTextTest, FormatsRandomLayouts) {
  size_t changed = 0;
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::string text = Writer(seed).Document();
    StatusOr<std::string> out = FormatText(text);
    ASSERT_TRUE(out.ok()) << seed << ": " << out.status() << "\n" << text;
    changed += *out != text ? 1 : 0;
  }
  EXPECT_GT(changed, 2000u);
}

}  // namespace
}  // namespace countersign::authz::yaml
