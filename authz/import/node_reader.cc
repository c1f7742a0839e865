#include "authz/import/node_reader.h"

#include <algorithm>

#include "authz/kinds/nearest_word.h"
#include "base/status.h"

namespace countersign::authz::import {

using yaml::Node;

bool NodeReader::Keys(const Node& node, std::string_view what,
                      std::span<const std::string_view> known) {
  if (node.kind != Node::Kind::kMap) {
    Error(node.where, Concat(what, " must be a map, not ", KindName(node.kind)));
    return false;
  }
  for (const yaml::Member& member : node.members) {
    if (std::ranges::find(known, member.key) == known.end()) {
      Error(member.where, Concat("unknown key ", Quoted(member.key), " in ", what,
                                 DidYouMean(member.key, known)));
    }
  }
  return true;
}

std::string NodeReader::TextOf(const Node& map, std::string_view key) {
  const Node* node = map.Find(key);
  if (node == nullptr || node->kind == Node::Kind::kNull) {
    return {};
  }
  if (node->kind != Node::Kind::kScalar) {
    Error(node->where, Concat(key, " must be a single value, not ", KindName(node->kind)));
    return {};
  }
  return node->text;
}

Texts NodeReader::TextsOf(const Node& map, std::string_view key) {
  const Node* node = map.Find(key);
  Texts texts;
  if (node == nullptr || node->kind == Node::Kind::kNull) {
    return texts;
  }
  if (node->kind != Node::Kind::kSequence) {
    Error(node->where, Concat(key, " must be a list, not ", KindName(node->kind)));
    return texts;
  }
  if (node->items.empty()) {
    Error(node->where, Concat(key, " must not be empty; leave it out to mean any"));
  }
  for (const Node& item : node->items) {
    if (item.kind != Node::Kind::kScalar || item.text.empty()) {
      Error(item.where, Concat(key, " must hold texts that are not empty"));
      continue;
    }
    texts.push_back({item.text, At(item.where)});
  }
  return texts;
}

Labels NodeReader::LabelsOf(const Node* map, std::string_view what) {
  Labels labels;
  if (map == nullptr || map->kind == Node::Kind::kNull) {
    return labels;
  }
  if (map->kind != Node::Kind::kMap) {
    Error(map->where, Concat(what, " must be a map, not ", KindName(map->kind)));
    return labels;
  }
  for (const yaml::Member& member : map->members) {
    if (member.value.kind != Node::Kind::kScalar) {
      Error(member.value.where, Concat("label ", Quoted(member.key), " must be a text"));
      continue;
    }
    labels[member.key] = member.value.text;
  }
  return labels;
}

}  // namespace countersign::authz::import
