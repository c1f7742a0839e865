// A document after its shape was checked against the field table: every value has the type that its
// row says, defaults are written out, sets are sorted. Typed documents and canonical JSON are both
// read off it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "authz/kinds/field_table.h"
#include "authz/kinds/report.h"
#include "authz/model/field.h"
#include "authz/yaml/node.h"

namespace countersign::authz {

// FieldSpec is a row with the rows below it, so that a document can be walked beside it.
struct FieldSpec {
  const FieldRow* row = nullptr;
  std::map<std::string_view, FieldSpec> children;
  const FieldSpec* Child(std::string_view key) const;
};

// SpecOf is the tree of a kind's rows; its only child is "spec". Safe for any thread.
const FieldSpec& SpecOf(const KindRow& kind);

// Value is one checked value. Which members mean something depends on the row's type.
struct Value {
  const FieldRow* row = nullptr;
  yaml::Mark where;
  bool truth = false;
  bool many = false;        // Of a matcher.
  bool is_word = false;     // One of the row's `words` stands for the whole; `text` holds it.
  bool all_except = false;  // Of a list written as {allExcept: LIST}.
  int64_t number = 0;
  std::string text;  // Canonical text of a scalar.
  Matcher matcher;
  std::map<std::string, Value, std::less<>> members;  // Of an object or map.
  std::vector<Value> items;                           // Of a list.
  std::string json;                                   // Canonical.

  // Get returns null if the key is absent, or was refused with an error.
  const Value* Get(std::string_view key) const;
  // TextOf and NumberOf read a scalar member; the default if it is absent.
  std::string TextOf(std::string_view key) const;
  std::optional<int64_t> NumberOf(std::string_view key) const;
};

// CheckSpec checks the `spec` of a document. Every finding goes to the context's reporter; what was
// refused is missing in the result.
Value CheckSpec(const yaml::Node& spec, const KindRow& kind, LoadContext& context);

// CheckScalar checks one scalar of the row's type, and CheckMatcher one predicate. False: reported.
bool CheckScalar(const yaml::Node& node, const FieldRow& row, LoadContext& context, Value& out);
bool CheckMatcher(const yaml::Node& node, const FieldRow& row, LoadContext& context, Value& out);

// JsonText is a JSON string of valid UTF-8 text.
std::string JsonText(std::string_view text);

// KeyOf is the last part of the row's path, as messages name the field.
std::string_view KeyOf(const FieldRow& row);

}  // namespace countersign::authz
