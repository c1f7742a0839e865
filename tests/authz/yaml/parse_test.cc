// The strict part of YAML that policy files may use.
#include "authz/yaml/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "base/status.h"

namespace countersign::authz::yaml {
namespace {

std::string Repeat(std::string_view part, size_t bytes) {
  std::string out;
  while (out.size() + part.size() <= bytes) {
    out += part;
  }
  return out;
}

std::string Problems(const Stream& stream) {
  std::string out;
  for (const Problem& problem : stream.problems) {
    out += Concat(problem.where.line, ":", problem.where.column, ": ", problem.message, "\n");
  }
  return out;
}

TEST(YamlParseTest, KeepsPlacesFromOne) {
  Stream stream = Parse("a: 1\nb:\n  - x\n  - {c: 'd'}\n");
  ASSERT_EQ(Problems(stream), "");
  ASSERT_EQ(stream.documents.size(), 1u);
  const Node& root = stream.documents[0].root;
  ASSERT_EQ(root.members.size(), 2u);
  EXPECT_EQ(root.members[1].where, (Mark{2, 1}));
  const Node& list = root.members[1].value;
  ASSERT_EQ(list.items.size(), 2u);
  EXPECT_EQ(list.items[0].where, (Mark{3, 5}));
  EXPECT_EQ(list.items[1].members[0].where, (Mark{4, 6}));
  EXPECT_EQ(list.items[1].members[0].value.where, (Mark{4, 9}));
}

TEST(YamlParseTest, TellsQuotedFromPlain) {
  Stream stream = Parse("[a, 'a', \"a\", 010, ~, null, '']");
  ASSERT_EQ(stream.documents.size(), 1u);
  const std::vector<Node>& items = stream.documents[0].root.items;
  ASSERT_EQ(items.size(), 7u);
  EXPECT_FALSE(items[0].quoted);
  EXPECT_TRUE(items[1].quoted);
  EXPECT_TRUE(items[2].quoted);
  EXPECT_EQ(items[3].text, "010");
  EXPECT_EQ(items[4].kind, Node::Kind::kNull);
  EXPECT_EQ(items[5].kind, Node::Kind::kNull);
  EXPECT_EQ(items[6].kind, Node::Kind::kScalar);
}

TEST(YamlParseTest, ReadsJson) {
  Stream stream = Parse(R"({"a":{"b":[1,true,"\u00e9"]}})");
  ASSERT_EQ(Problems(stream), "");
  const Node* b = stream.documents.at(0).root.Find("a")->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_FALSE(b->items[0].quoted);
  EXPECT_EQ(b->items[2].text, "\xc3\xa9");
}

TEST(YamlParseTest, SkipsEmptyDocuments) {
  EXPECT_EQ(Parse("").documents.size(), 0u);
  EXPECT_EQ(Parse("# nothing\n---\n---\n").documents.size(), 0u);
  EXPECT_EQ(Parse("---\na: 1\n---\n---\nb: 1\n").documents.size(), 2u);
}

TEST(YamlParseTest, RefusesWhatSurprises) {
  struct Row {
    const char* name;
    std::string text;
    const char* problem;
  };
  const Row rows[] = {
      {"duplicate key", "a: 1\nb: 2\na: 3\n", "3:1: duplicate key \"a\""},
      {"duplicate key in JSON", R"({"a":1,"a":2})", "1:8: duplicate key \"a\""},
      {"same key in quotes", "a: 1\n\"a\": 2\n", "2:1: duplicate key \"a\""},
      {"anchor", "a: &x 1\n", "1:4: anchors (&name)"},
      {"alias", "a: &x 1\nb: *x\n", "2:4: aliases (*name)"},
      {"merge key", "<<: {a: 1}\n", "1:1: merge keys (<<)"},
      {"tag", "a: !!int 1\n", "1:4: tags are not allowed"},
      {"local tag", "a: !secret x\n", "1:4: tags are not allowed"},
      {"tag on a map", "a: !!map {b: 1}\n", "tags are not allowed"},
      {"list as key", "[a]: 1\n", "a key must be a single word"},
      {"null as key", "~: 1\n", "a key must not be empty"},
      {"no key", ": 1\n", "a key must not be empty"},
      {"NUL", std::string("a: \0b", 5), "1:4: control character \"\\x00\""},
      {"escape", "a: \x1b[2J\n", "1:4: control character \"\\x1b\""},
      {"escaped NUL", "a: \"\\0\"\n", "1:4: control characters are not allowed"},
      {"invalid UTF-8", "a: b\nc: \xc3(\n", "2:4: invalid UTF-8 byte \"\\xc3\""},
      {"overlong", "a: \xc0\xaf\n", "invalid UTF-8"},
      {"surrogate", "a: \xed\xa0\x80\n", "invalid UTF-8"},
      {"beyond Unicode", "a: \xf4\x90\x80\x80\n", "invalid UTF-8"},
      {"UTF-16",
       std::string("\xff\xfe"
                   "a\0:\0",
                   6),
       "invalid UTF-8"},
      {"no YAML", "a: [1\nb: 2\n", "not YAML"},
      {"tab as indent", "a:\n\tb: 1\n", "not YAML"},
  };
  for (const Row& row : rows) {
    Stream stream = Parse(row.text);
    EXPECT_THAT(Problems(stream), testing::HasSubstr(row.problem)) << row.name;
    for (const Document& document : stream.documents) {
      EXPECT_TRUE(document.broken) << row.name;
    }
  }
}

TEST(YamlParseTest, ASlipOfSyntaxIsAnsweredWithItsMend) {
  struct Row {
    const char* name;
    std::string text;
    const char* problem;
  };
  const Row rows[] = {
      {"template in a map", "a:\n  to: [{ methods: [GET], path: /orders/{id} }]\n",
       "2:40: not YAML: '{' in a text within {...} or [...]: quote it: '/orders/{id}'"},
      {"template before a comma", "to: [{ path: /orders/{id}/x, methods: [GET] }]\n",
       "1:22: not YAML: '{' in a text within {...} or [...]: quote it: '/orders/{id}/x'"},
      {"template in a list", "path: [/orders/{id}, /x]\n", "quote it: '/orders/{id}'"},
      {"template in an open list", "a: [\n  { b: /x/{id} },\n  { c: 1 }\n]\n",
       "2:11: not YAML: '{' in a text within {...} or [...]: quote it: '/x/{id}'"},
      {"template in a file of Windows", "a: [/x/{id}\r\n]\r\n", "quote it: '/x/{id}'"},
      {"query in a path", "to: [{ path: /orders?x=1 }]\n",
       "1:21: not YAML: '?' in a text within {...} or [...]: quote it: '/orders?x=1'"},
      {"class in the middle", "id: { re2: /v[0-9]+/a }\n",
       "'[' in a text within {...} or [...]: quote it: '/v[0-9]+/a'"},
      {"class at the beginning", "id: { re2: [a-z]{1,3} }\n", "quote it: '[a-z]{1,3}'"},
      {"quote in the text", "a: [it's?]\n", "quote it: 'it''s?'"},
      {"escape", "a: { re2: \"shop\\.example\" }\n",
       "1:16: not YAML: \"\\.\" in double quotes: use single quotes, where a backslash is itself"},
      {"tab as indent", "a:\n\tb: 1\n", "2:1: not YAML: a tab in the indent: indent with blanks"},
      {"tab behind blanks", "a:\n  b: 1\n \t c: 2\n", "3:2: not YAML: a tab in the indent"},
      {"reserved", "a: @x\n", "1:4: not YAML: a text that begins with '@': quote it: '@x'"},
      {"star", "a: [*.shop]\n", "1:5: not YAML: a text that begins with '*': quote it: '*.shop'"},
  };
  for (const Row& row : rows) {
    EXPECT_THAT(Problems(Parse(row.text)), testing::HasSubstr(row.problem)) << row.name;
  }
}

TEST(YamlParseTest, NoMendIsInventedWhereTheSlipIsAnother) {
  for (std::string_view text :
       {"a: [1\nb: 2\n", "a: [{a: 1} {b: 2}]\n", "a: [{a: 1}{b: 2}]\n", "a: {b:{c: d}}\n",
        "a: b: c\n", "a: {b: 'c}\n", "x:\n  - a\n  b: c\n", "a: [", "a: {", "a: {b", "a: \"\\",
        "a: [?", "a: [x?"}) {
    std::string problems = Problems(Parse(text));
    EXPECT_THAT(problems, testing::HasSubstr("not YAML: ")) << text;
    EXPECT_THAT(problems, testing::Not(testing::HasSubstr("indent with"))) << text;
    EXPECT_THAT(problems, testing::Not(testing::HasSubstr("single quotes"))) << text;
  }
  for (std::string_view text : {"a: [{a: 1} {b: 2}]\n", "a: [{a: 1}{b: 2}]\n", "a: {b:{c: d}}\n"}) {
    EXPECT_THAT(Problems(Parse(text)), testing::Not(testing::HasSubstr("quote it"))) << text;
  }
  // Longer than anybody would copy from a message.
  EXPECT_THAT(Problems(Parse(Concat("a: [/", std::string(200, 'x'), "/{id}]"))),
              testing::EndsWith("or [...]: quote it\n"));
}

TEST(YamlParseTest, ATextThatTheEndCutsOffIsNoText) {
  for (std::string_view text :
       {"a: \"b", "a: \"b\n", "a: 'b", "a: 'b\n\n", "{\"a\": \"b\\", "a: [b", "a: {b: c"}) {
    EXPECT_FALSE(Parse(text).problems.empty()) << text;
  }
  for (std::string_view text : {"a: b", "a: 'b'", "a: |\n  b\n", "a: b\n...", "a: b\n...\n#", ""}) {
    EXPECT_TRUE(Parse(text).problems.empty()) << text;
  }
}

TEST(YamlParseTest, CharactersThatDeceiveReadersAreRefused) {
  for (std::string_view text : {"a: b # \u202e", "a: b\u2028c: d", "a: \u0085", "a: b\u200f",
                                "a: \u2066b", "a: \u061c", "a: \u009b2J", "a: \"\\u202e\""}) {
    EXPECT_THAT(Problems(Parse(text)), testing::HasSubstr("control character")) << text;
  }
  for (std::string_view text :
       {"a: \u00e9", "a: \u4e2d # \u20ac", "a: \u200b\u2030", "a: \u05d0"}) {
    EXPECT_TRUE(Parse(text).problems.empty()) << text;
  }
}

TEST(YamlParseTest, AProblemBreaksItsOwnDocumentOnly) {
  Stream stream = Parse("a: 1\n---\nb: &x 1\n---\nc: 1\n");
  ASSERT_EQ(stream.documents.size(), 3u);
  EXPECT_FALSE(stream.documents[0].broken);
  EXPECT_TRUE(stream.documents[1].broken);
  EXPECT_FALSE(stream.documents[2].broken);
}

TEST(YamlParseTest, EveryLimitIsNamedAndOthersStayWithin) {
  YamlLimits limits;
  limits.bytes_max = 100;
  limits.depth_max = 3;
  limits.documents_max = 2;
  limits.nodes_max = 10;
  limits.scalar_bytes_max = 5;
  limits.indicators_max = 11;
  struct Row {
    std::string text;
    const char* problem;
  };
  const Row rows[] = {
      {std::string(101, '#'), "a file of 101 bytes: at most 100"},
      {"[[[[]]]]", "nested deeper than 3 levels"},
      {"--- a\n--- b\n--- c\n", "more than 2 documents"},
      {"- 1\n- 2\n- 3\n- 4\n- 5\n- 6\n- 7\n- 8\n- 9\n- 10\n", "more than 10 values"},
      {"abcdef", "a value of 6 bytes: at most 5"},
      {"[[],[],{},a:b]", "12 of the characters [ ] { } , : in one file: at most 11"},
  };
  for (const Row& row : rows) {
    EXPECT_THAT(Problems(Parse(row.text, limits)), testing::HasSubstr(row.problem));
  }
  for (const char* good : {"[[[]]]", "--- a\n--- b\n", "[1,2,3,4,5,6,7,8,9]", "abcde"}) {
    EXPECT_EQ(Problems(Parse(good, limits)), "") << good;
  }
}

TEST(YamlParseTest, HostileFilesEndInAnErrorSoon) {
  constexpr size_t kBytes = 1 << 20;
  struct Row {
    const char* name;
    std::string text;
  };
  const Row rows[] = {
      {"open lists", Repeat("[", kBytes)},
      {"open maps", Repeat("{", kBytes)},
      {"nested dashes", Repeat("- ", kBytes)},
      {"nested questions", Repeat("? ", kBytes)},
      {"colons", Repeat(": ", kBytes)},
      {"anchors", Repeat("&a ", kBytes)},
      {"aliases", Repeat("*a ", kBytes)},
      {"alias bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n"},
      {"tags", Repeat("!", kBytes)},
      {"commas", "[" + Repeat("a,", kBytes - 2) + "]"},
      {"items", Repeat("- a\n", kBytes)},
      {"documents", Repeat("--- a\n", kBytes)},
      {"one value", Repeat("a ", kBytes)},
      {"folded lines", Repeat("a\n ", kBytes)},
      {"open quote", "\"" + Repeat("\\n", kBytes - 1)},
      {"directives", Repeat("%TAG !a! b\n", kBytes)},
      {"deep indentation",
       [] {
         std::string out;
         for (size_t depth = 0; depth < 1400; ++depth) {
           out += std::string(depth, ' ') + "a:\n";
         }
         return out;
       }()},
      {"a hundred megabytes", std::string(100 << 20, 'a')},
  };
  for (const Row& row : rows) {
    std::clock_t start = std::clock();
    Stream stream = Parse(row.text);
    double took = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    EXPECT_FALSE(stream.problems.empty()) << row.name;
    // Processor time; an optimised build needs less than one second.
    EXPECT_LT(took, 8.0) << row.name;
  }
}

}  // namespace
}  // namespace countersign::authz::yaml
