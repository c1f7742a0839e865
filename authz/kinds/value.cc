#include "authz/kinds/value.h"

#include <nlohmann/json.hpp>

namespace countersign::authz {
namespace {

FieldSpec BuildSpec(const KindRow& kind) {
  FieldSpec root;
  for (const FieldRow& row : kind.rows) {
    FieldSpec* at = &root;
    std::string_view path = row.path;
    while (!path.empty()) {
      size_t dot = path.find('.');
      at = &at->children[path.substr(0, dot)];
      path = dot == std::string_view::npos ? "" : path.substr(dot + 1);
    }
    at->row = &row;
  }
  return root;
}

}  // namespace

const FieldSpec* FieldSpec::Child(std::string_view key) const {
  auto found = children.find(key);
  return found == children.end() ? nullptr : &found->second;
}

const FieldSpec& SpecOf(const KindRow& kind) {
  static const std::map<std::string_view, FieldSpec> specs = [] {
    std::map<std::string_view, FieldSpec> all;
    for (const KindRow& each : AllKinds()) {
      all.emplace(each.name, BuildSpec(each));
    }
    return all;
  }();
  return specs.at(kind.name);
}

const Value* Value::Get(std::string_view key) const {
  auto found = members.find(key);
  return found == members.end() ? nullptr : &found->second;
}

std::string Value::TextOf(std::string_view key) const {
  const Value* member = Get(key);
  return member == nullptr ? "" : member->text;
}

std::optional<int64_t> Value::NumberOf(std::string_view key) const {
  const Value* member = Get(key);
  return member == nullptr ? std::nullopt : std::optional<int64_t>(member->number);
}

std::string JsonText(std::string_view text) { return nlohmann::json(text).dump(); }

std::string_view KeyOf(const FieldRow& row) {
  std::string_view path = row.path;
  if (path.ends_with(".*")) {
    path.remove_suffix(2);
  }
  size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

}  // namespace countersign::authz
