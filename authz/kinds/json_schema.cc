#include "authz/kinds/json_schema.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "authz/kinds/field_table.h"
#include "authz/kinds/nearest_word.h"
#include "authz/kinds/value.h"

namespace countersign::authz {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kDraft = "http://json-schema.org/draft-07/schema#";

Json FieldSchema(const FieldSpec& spec);

// The loader takes a scalar by its text: `7` and `true` are texts too where a text is asked for,
// and a pattern of JSON Schema is only held against strings.
Json Text(std::string_view pattern = {}) {
  Json schema = {{"type", {"string", "number", "boolean"}}};
  if (!pattern.empty()) {
    schema["pattern"] = pattern;
  }
  return schema;
}

Json Words(std::string_view words) {
  Json schema = {{"enum", Json::array()}};
  for (std::string_view word : SplitWords(words)) {
    schema["enum"].push_back(word);
    if (word.find_first_not_of("0123456789") == std::string_view::npos) {
      schema["enum"].push_back(std::stoi(std::string(word)));
    }
  }
  return schema;
}

Json Integer(std::string_view range) {
  size_t dots = range.find("..");
  return {{"type", "integer"},
          {"minimum", std::stoll(std::string(range.substr(0, dots)))},
          {"maximum", std::stoll(std::string(range.substr(dots + 2)))}};
}

// A predicate's map: exactly one word, beside `many` where that is known.
Json PredicateMap(const FieldRow& row) {
  bool borders = row.field == Field::kId || row.field == Field::kPath;
  bool may_be_many = row.field == Field::kHeader || row.field == Field::kQuery;
  Json properties = Json::object();
  Json one_of = Json::array();
  for (std::string_view word : {"exact", "under", "prefix", "suffix", "re2", "present"}) {
    bool presence = word == "present";
    if ((word == "under" && !borders) || (presence && (row.flags & kIdForm) != 0)) {
      continue;
    }
    properties[std::string(word)] = presence ? Json{{"type", "boolean"}} : Text("^[\\s\\S]");
    Json only = {{"required", {word}}};
    if (presence && may_be_many) {
      only["not"] = {{"required", {"many"}}};
    }
    one_of.push_back(std::move(only));
  }
  if (may_be_many) {
    properties["many"] = {{"const", true}};
  }
  return {{"type", "object"},
          {"properties", properties},
          {"additionalProperties", false},
          {"oneOf", one_of}};
}

Json Predicate(const FieldRow& row) {
  Json any_of = {Text(row.field == Field::kPath ? "^/" : "^[^*]+$"), PredicateMap(row)};
  if ((row.flags & kIdForm) != 0) {
    Json inner = {{"anyOf", any_of}};
    any_of.push_back({{"type", "object"},
                      {"properties", {{"id", inner}}},
                      {"required", {"id"}},
                      {"additionalProperties", false}});
  }
  return {{"anyOf", any_of}};
}

std::string_view PatternOf(const FieldRow& row) {
  switch (row.type) {
    case FieldType::kName:
      return "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    case FieldType::kSpiffeId:
      return "^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*$";
    case FieldType::kTrustDomain:
      return "^[a-z0-9._-]+$";
    case FieldType::kDnsName:
      return "^[a-z0-9-]+(\\.[a-z0-9-]+)*$";
    case FieldType::kMethod:
      return "^[A-Z0-9_-]{1,32}$";
    case FieldType::kCidr:
      return "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$";
    case FieldType::kIp:
      return "^[0-9a-fA-F:.]+$";
    case FieldType::kListen:
      return row.detail == "unix" ? "^(unix:/.+|.+:[0-9]{1,5})$" : "^.+:[0-9]{1,5}$";
    case FieldType::kHostPort:
      return "^[a-z0-9.-]+:[0-9]{1,5}$";
    case FieldType::kPercent:
      return "^[0-9]{1,3}%$";
    case FieldType::kAbsolutePath:
      return "^/";
    case FieldType::kHex64:
      return "^[0-9a-fA-F]{64}$";
    case FieldType::kGrpcName:
      return row.detail == "service" ? "^[A-Za-z0-9_.]+$" : "^[A-Za-z0-9_]+$";
    default:
      return (row.flags & kMayBeEmpty) != 0 ? "" : "^[\\s\\S]";
  }
}

Json Object(const FieldSpec& spec) {
  const FieldRow& row = *spec.row;
  Json properties = Json::object();
  Json required = Json::array();
  for (const auto& [key, child] : spec.children) {
    if (child.row->type == FieldType::kUnsupported) {
      continue;  // Known, and refused: as a key that is not known.
    }
    properties[std::string(key)] = FieldSchema(child);
    if ((child.row->flags & kRequired) != 0) {
      required.push_back(key);
    }
  }
  Json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) {
    schema["required"] = required;
  }
  if (row.fallback.empty() && (row.flags & kMayBeEmpty) == 0) {
    schema["minProperties"] = 1;
  }
  if ((row.flags & kShorthand) != 0) {
    return {{"anyOf", {schema, FieldSchema(*spec.Child(row.detail))}}};
  }
  return schema;
}

Json OneSchema(const FieldSpec& spec) {
  const FieldRow& row = *spec.row;
  switch (row.type) {
    case FieldType::kObject:
      return Object(spec);
    case FieldType::kMap:
      return {{"type", "object"},
              {"additionalProperties", FieldSchema(*spec.Child("*"))},
              {"propertyNames", {{"maxLength", 200}}},
              {"minProperties", 1}};
    case FieldType::kMatcher:
      return Predicate(row);
    case FieldType::kBool:
      return {{"type", "boolean"}};
    case FieldType::kInteger:
      return Integer(row.detail);
    case FieldType::kWord:
      return Words(row.detail);
    default:
      break;
  }
  Json schema = Text(PatternOf(row));
  if (row.type == FieldType::kText) {
    schema["maxLength"] = row.detail.empty() ? 1024 : std::stoi(std::string(row.detail));
  }
  return schema;
}

Json FieldSchema(const FieldSpec& spec) {
  const FieldRow& row = *spec.row;
  Json one = OneSchema(spec);
  Json list = {{"type", "array"}, {"items", one}};
  if ((row.flags & kMayBeEmpty) == 0) {
    list["minItems"] = 1;
  }
  Json any_of = Json::array();
  if (row.shape != Shape::kOne) {
    any_of.push_back(list);
  }
  if (row.shape != Shape::kSet && row.shape != Shape::kSequence) {
    any_of.push_back(one);
  }
  if (!row.words.empty()) {
    any_of.push_back(Words(row.words));
  }
  if ((row.flags & kComplement) != 0) {
    any_of.push_back({{"type", "object"},
                      {"properties", {{"allExcept", list}}},
                      {"required", {"allExcept"}},
                      {"additionalProperties", false}});
  }
  Json schema = any_of.size() == 1 ? any_of[0] : Json{{"anyOf", any_of}};
  schema["description"] = row.doc;
  if (!row.fallback.empty()) {
    schema["default"] = Json::parse(row.fallback);
  }
  return schema;
}

Json KindSchema(const KindRow& kind) {
  const FieldSpec& tree = SpecOf(kind);
  return {{"title", kind.name},
          {"description", kind.doc},
          {"type", "object"},
          {"required", {"apiVersion", "kind", "metadata", "spec"}},
          {"additionalProperties", false},
          {"properties",
           {{"apiVersion", {{"const", kApiVersion}}},
            {"kind", {{"const", kind.name}}},
            {"metadata",
             {{"type", "object"},
              {"required", {"name"}},
              {"additionalProperties", false},
              {"properties", {{"name", Text("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")}}}}},
            {"spec", FieldSchema(*tree.Child("spec"))}}}};
}

std::string Print(const Json& schema) { return schema.dump(2) + "\n"; }

}  // namespace

std::string JsonSchema() {
  Json names = Json::array();
  Json branches = Json::array();
  for (const KindRow& kind : AllKinds()) {
    if (!kind.refused.empty()) {
      continue;
    }
    names.push_back(kind.name);
    branches.push_back(
        {{"if", {{"properties", {{"kind", {{"const", kind.name}}}}}}}, {"then", KindSchema(kind)}});
  }
  return Print({{"$schema", kDraft},
                {"title", Concat("Countersign documents, ", kApiVersion)},
                {"type", "object"},
                {"required", {"apiVersion", "kind", "metadata", "spec"}},
                {"properties", {{"kind", {{"enum", names}}}}},
                {"allOf", branches}});
}

StatusOr<std::string> JsonSchemaOf(std::string_view name) {
  const KindRow* kind = FindKind(name, KindCase::kLoose);
  if (kind == nullptr) {
    std::vector<std::string_view> known;
    for (const KindRow& each : AllKinds()) {
      known.push_back(each.name);
    }
    return NotFound("unknown kind ", Quoted(name), DidYouMean(name, known));
  }
  if (!kind->refused.empty()) {
    return NotFound(kind->name, ": ", kind->refused);
  }
  Json schema = KindSchema(*kind);
  Json out = {{"$schema", kDraft}};
  out.update(schema);
  return Print(out);
}

}  // namespace countersign::authz
