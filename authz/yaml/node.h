// The tree that a YAML document is, with the place of every part. Plain data: it decides nothing
// about types beyond what the text shows (quoted or not).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace countersign::authz::yaml {

// Mark is a place in a file; both count from 1. Line 0 means the file as a whole.
struct Mark {
  uint32_t line = 0;
  uint32_t column = 0;
  auto operator<=>(const Mark&) const = default;
};

struct Member;

struct Node {
  enum class Kind : uint8_t { kNull, kScalar, kSequence, kMap };
  Kind kind = Kind::kNull;
  bool quoted = false;  // Of a scalar: quoted or a block, so never a number or a bool.
  Mark where;
  std::string text;             // Of a scalar.
  std::vector<Node> items;      // Of a sequence.
  std::vector<Member> members;  // Of a map, in the order of the file; keys are unique.

  // Find returns null if the map has no such key.
  const Node* Find(std::string_view key) const;
};

struct Member {
  std::string key;
  Mark where;  // Of the key.
  Node value;
};

// KindName is the word in messages: "a map", "a list", "a value", "nothing".
std::string_view KindName(Node::Kind kind);

}  // namespace countersign::authz::yaml
