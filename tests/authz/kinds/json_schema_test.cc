// The JSON Schema and the loader are two readings of one table: what loads, the schema accepts;
// what the loader refuses for its shape, the schema refuses too.
#include "authz/kinds/json_schema.h"

#include <gtest/gtest.h>

#include "authz/kinds/field_table.h"
#include "authz/yaml/parse.h"
#include "tests/authz/kinds/load_helper.h"
#include "tests/authz/kinds/schema_checker.h"

namespace countersign::authz {
namespace {

using Json = nlohmann::json;

// A plain scalar as YAML's core schema reads it.
Json ScalarToJson(const yaml::Node& node) {
  Json number = node.quoted ? Json() : Json::parse(node.text, nullptr, false);
  bool plain = number.is_number() || number.is_boolean();
  return plain ? number : Json(node.text);
}

Json ToJson(const yaml::Node& node) {
  Json out;
  switch (node.kind) {
    case yaml::Node::Kind::kScalar:
      return ScalarToJson(node);
    case yaml::Node::Kind::kSequence:
      out = Json::array();
      for (const yaml::Node& item : node.items) {
        out.push_back(ToJson(item));
      }
      return out;
    case yaml::Node::Kind::kMap:
      out = Json::object();
      for (const yaml::Member& member : node.members) {
        out[member.key] = ToJson(member.value);
      }
      return out;
    case yaml::Node::Kind::kNull:
      break;
  }
  return out;
}

std::vector<Json> Documents(std::string_view text) {
  std::vector<Json> out;
  yaml::Stream stream = yaml::Parse(text);
  EXPECT_TRUE(stream.problems.empty()) << text;
  for (const yaml::Document& document : stream.documents) {
    out.push_back(ToJson(document.root));
  }
  return out;
}

const Json& Schema() {
  static const Json schema = Json::parse(JsonSchema());
  return schema;
}

bool AcceptsAll(std::string_view text) {
  std::vector<Json> documents = Documents(text);
  return std::ranges::all_of(
      documents, [](const Json& each) { return SchemaChecker::Accepts(Schema(), each); });
}

TEST(JsonSchemaTest, AcceptsEveryFileThatTheProjectShips) {
  size_t documents = 0;
  for (std::string_view folder : {"policies", "examples"}) {
    auto files = ReadSources(Concat(COUNTERSIGN_SOURCE_DIR, "/", folder));
    ASSERT_TRUE(files.ok()) << files.status();
    for (const SourceFile& file : *files) {
      for (const Json& document : Documents(file.content)) {
        EXPECT_TRUE(SchemaChecker::Accepts(Schema(), document)) << file.path << document.dump(1);
        ++documents;
      }
    }
  }
  EXPECT_GT(documents, 15u);
}

TEST(JsonSchemaTest, AcceptsEveryExampleOfTheTable) {
  struct Row {
    const char* name;
    std::string text;
  };
  for (const Row& row : std::vector<Row>{
           {"words", WithFrom("anyone")},
           {"predicates", WithTo("{ path: [/a/**, { re2: '/v[0-9]+' }, { under: /x }], host: { "
                                 "suffix: .shop }, port: [80, 443] }")},
           {"presence", WithFrom("[{ id: { present: false } }]")},
           {"many", WithWhen("{ headers: { x-a: { prefix: a, many: true } } }")},
           {"numbers where a text is asked for", WithWhen("{ query: { page: 2, debug: true } }")},
           {"grpc", WithTo("{ grpc: { service: shop.Orders, methods: Get } }")},
           {"exceptions", WithFrom("[{ trustDomain: td, except: { peerIp: 10.0.0.0/8 } }]")},
           {"the id form of appliesTo",
            Concat(kSetHead,
                   "  appliesTo: [{ id: { under: spiffe://td/a } }, spiffe://td/b]\n"
                   "  rules: [{ name: r, effect: deny, from: anyone }]\n")},
       }) {
    EXPECT_TRUE(LoadText(row.text).ok()) << row.name << Findings(LoadText(row.text));
    EXPECT_TRUE(AcceptsAll(row.text)) << row.name;
  }
  std::string assertion = Head("PolicyAssertion",
                               "  workloads: { under: spiffe://td }\n"
                               "  never: { from: { allExcept: [{ id: spiffe://td/a }] } }\n");
  EXPECT_TRUE(AcceptsAll(assertion));
}

TEST(JsonSchemaTest, RefusesTheShapesThatTheLoaderRefuses) {
  struct Row {
    const char* name;
    std::string text;
  };
  std::string allow = "      effect: allow\n";
  for (const Row& row : std::vector<Row>{
           {"unknown kind", Head("AccesPolicy", "  {}\n")},
           {"a kind that this version refuses", Head("Role", "  {}\n")},
           {"another api version",
            "apiVersion: v1\nkind: Route\nmetadata: { name: x }\nspec: {}\n"},
           {"no metadata",
            "apiVersion: countersign.dev/v1alpha1\nkind: Route\nspec: { service: a }\n"},
           {"a bad name", WithRule(allow + "      from: anyone\n      name2: x\n")},
           {"unknown key", WithRule(allow + "      from: anyone\n      too: [{ path: / }]\n")},
           {"a key in the wrong place", WithTo("{ peerIp: 10.0.0.0/8 }")},
           {"empty list", WithRule(allow + "      from: []\n")},
           {"empty list of values", WithFrom("[{ id: [] }]")},
           {"empty entry", WithFrom("[{}]")},
           {"empty text", WithFrom("[{ id: '' }]")},
           {"empty when", WithWhen("{}")},
           {"null", WithFrom("~")},
           {"rule without a name",
            Concat(kSetHead, "  appliesTo: all\n  rules: [{ effect: deny, from: anyone }]\n")},
           {"omitted from", WithRule(allow)},
           {"omitted appliesTo",
            Concat(kSetHead, "  rules: [{ name: r, effect: deny, from: anyone }]\n")},
           {"misspelt word for from", WithFrom("anyon")},
           {"misspelt effect", WithRule("      effect: alow\n      from: anyone\n")},
           {"an entry that is no map", WithFrom("[spiffe://td/a]")},
           {"a map instead of entries", WithFrom("{ id: spiffe://td/a }")},
           {"star in an id", WithFrom("[{ id: spiffe://td/ns/* }]")},
           {"relative path", WithTo("{ path: orders }")},
           {"method in lower case", WithTo("{ methods: [get] }")},
           {"under for a host", WithTo("{ host: { under: a } }")},
           {"two predicates in one", WithTo("{ path: { under: /a, prefix: /b } }")},
           {"misspelt predicate", WithTo("{ path: { unter: /a } }")},
           {"presence as text", WithFrom("[{ id: { present: 'true' } }]")},
           {"present for appliesTo",
            Concat(kSetHead, "  appliesTo: { present: true }\n",
                   "  rules: [{ name: r, effect: deny, from: anyone }]\n")},
           {"quoted number", WithTo("{ port: '80' }")},
           {"too large", WithTo("{ port: 65536 }")},
           {"fraction", WithTo("{ port: 80.5 }")},
           {"quoted bool", Concat(kSetHead,
                                  "  dryRun: 'true'\n  appliesTo: all\n  rules: [{ name: r, "
                                  "effect: deny, from: anyone }]\n")},
           {"claims", WithWhen("{ claims: { iss: a } }")},
           {"many for a path", WithTo("{ path: { prefix: /a, many: true } }")},
           {"many: false", WithWhen("{ headers: { x-a: { prefix: a, many: false } } }")},
           {"many beside present", WithWhen("{ headers: { x-a: { present: true, many: true } } }")},
           {"grpc name", WithTo("{ grpc: { service: a/B } }")},
           {"no range", WithFrom("[{ peerIp: ten }]")},
           {"to with allExcept",
            WithRule(allow + "      from: anyone\n      to: { allExcept: [] }\n")},
           {"a complement in a rule", WithFrom("{ allExcept: [{ id: spiffe://td/a }] }")},
           {"two keys in a complement",
            Head("PolicyAssertion",
                 "  never: { from: { allExcept: [{ id: spiffe://td/a }], x: 1 } }\n")},
           {"an empty assertion", Head("PolicyAssertion", "  {}\n")},
           {"a route to nothing",
            Head("Route", "  service: a\n  rules: [{ match: { path: x } }]\n")},
       }) {
    EXPECT_FALSE(LoadText(row.text).ok()) << row.name;
    EXPECT_FALSE(AcceptsAll(row.text)) << row.name;
  }
}

TEST(JsonSchemaTest, CanonicalDocumentsAreAcceptedToo) {
  auto files = ReadSources(Concat(COUNTERSIGN_SOURCE_DIR, "/examples/shop"));
  ASSERT_TRUE(files.ok());
  LoadResult result = Load(*files);
  ASSERT_FALSE(result.sets.empty());
  for (const std::string& document : result.sets[0]->canonical_documents) {
    EXPECT_TRUE(AcceptsAll(document)) << document;
  }
  for (const Service& service : result.services) {
    EXPECT_TRUE(AcceptsAll(service.canonical_json)) << service.canonical_json;
  }
}

TEST(JsonSchemaTest, EachKindHasItsOwn) {
  for (const KindRow& kind : AllKinds()) {
    auto schema = JsonSchemaOf(kind.name);
    EXPECT_EQ(schema.ok(), kind.refused.empty()) << kind.name;
    if (schema.ok()) {
      EXPECT_EQ(Json::parse(*schema)["title"], kind.name);
      EXPECT_EQ(Json::parse(*schema)["properties"]["kind"]["const"], kind.name);
    }
  }
  EXPECT_TRUE(JsonSchemaOf("accesspolicy").ok());
  EXPECT_EQ(Message(JsonSchemaOf("accespolicy").status()),
            "unknown kind \"accespolicy\" (did you mean \"AccessPolicy\"?)");
}

}  // namespace
}  // namespace countersign::authz
