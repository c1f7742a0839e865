// A checker for the part of JSON Schema (draft 7) that our own schemas use. An unknown keyword is a
// failure, so that none is silently not held.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

namespace countersign::authz {

class SchemaChecker {
 public:
  using Json = nlohmann::json;

  // Accepts says whether `value` is what `schema` describes.
  static bool Accepts(const Json& schema, const Json& value) {
    for (const auto& [keyword, argument] : schema.items()) {
      if (!Holds(keyword, argument, schema, value)) {
        return false;
      }
    }
    return true;
  }

 private:
  static bool IsType(const std::string& type, const Json& value) {
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
           (type == "integer" && value.is_number_integer()) ||
           (type == "number" && value.is_number());
  }

  static size_t CountAccepting(const Json& schemas, const Json& value) {
    size_t count = 0;
    for (const Json& each : schemas) {
      count += Accepts(each, value) ? 1 : 0;
    }
    return count;
  }

  static bool PropertiesHold(const Json& schema, const Json& value) {
    const Json none = Json::object();
    const Json& known = schema.contains("properties") ? schema["properties"] : none;
    for (const auto& [key, member] : value.items()) {
      if (known.contains(key)) {
        if (!Accepts(known[key], member)) {
          return false;
        }
      } else if (schema.contains("additionalProperties")) {
        const Json& others = schema["additionalProperties"];
        if (others.is_boolean() ? !others.get<bool>() : !Accepts(others, member)) {
          return false;
        }
      }
    }
    return true;
  }

  static bool ObjectHolds(const std::string& keyword, const Json& argument, const Json& schema,
                          const Json& value) {
    if (keyword == "properties" || keyword == "additionalProperties") {
      return PropertiesHold(schema, value);
    }
    if (keyword == "required") {
      return std::all_of(argument.begin(), argument.end(),
                         [&](const Json& key) { return value.contains(key.get<std::string>()); });
    }
    if (keyword == "minProperties") {
      return value.size() >= argument.get<size_t>();
    }
    for (const auto& [key, member] : value.items()) {  // propertyNames
      if (!Accepts(argument, Json(key))) {
        return false;
      }
    }
    return true;
  }

  static bool Holds(const std::string& keyword, const Json& argument, const Json& schema,
                    const Json& value) {
    static const std::set<std::string> kNotes = {"$schema", "title", "description", "default",
                                                 "then"};
    static const std::set<std::string> kOfObjects = {"properties", "additionalProperties",
                                                     "required", "minProperties", "propertyNames"};
    if (kNotes.contains(keyword)) {
      return true;
    }
    if (kOfObjects.contains(keyword)) {
      return !value.is_object() || ObjectHolds(keyword, argument, schema, value);
    }
    if (keyword == "type") {
      return argument.is_string()
                 ? IsType(argument, value)
                 : std::any_of(argument.begin(), argument.end(),
                               [&](const Json& type) { return IsType(type, value); });
    }
    if (keyword == "const") {
      return value == argument;
    }
    if (keyword == "enum") {
      return std::find(argument.begin(), argument.end(), value) != argument.end();
    }
    if (keyword == "pattern") {
      return !value.is_string() ||
             std::regex_search(value.get<std::string>(), std::regex(argument.get<std::string>()));
    }
    if (keyword == "maxLength") {
      return !value.is_string() || value.get<std::string>().size() <= argument.get<size_t>();
    }
    if (keyword == "minimum" || keyword == "maximum") {
      return !value.is_number() || (keyword == "minimum" ? value >= argument : value <= argument);
    }
    if (keyword == "minItems") {
      return !value.is_array() || value.size() >= argument.get<size_t>();
    }
    if (keyword == "items") {
      return !value.is_array() || CountAccepting(value, argument, 0) == value.size();
    }
    if (keyword == "anyOf") {
      return CountAccepting(argument, value) > 0;
    }
    if (keyword == "oneOf") {
      return CountAccepting(argument, value) == 1;
    }
    if (keyword == "allOf") {
      return CountAccepting(argument, value) == argument.size();
    }
    if (keyword == "not") {
      return !Accepts(argument, value);
    }
    if (keyword == "if") {
      return !Accepts(argument, value) || Accepts(schema["then"], value);
    }
    ADD_FAILURE() << "unknown keyword " << keyword;
    return false;
  }

  static size_t CountAccepting(const Json& values, const Json& schema, int /*of_values*/) {
    size_t count = 0;
    for (const Json& each : values) {
      count += Accepts(schema, each) ? 1 : 0;
    }
    return count;
  }
};

}  // namespace countersign::authz
