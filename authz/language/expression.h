// Expression is a regular expression over bytes as a tree: what the parser makes of a pattern, what
// the matchers of the policy language are built from, and what an automaton is made from.
//
// Membership alone is asked, so captures and greediness are not kept.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "authz/language/byte_set.h"

namespace countersign::authz::language {

// Assertion is a condition on a place between two bytes; it consumes none.
enum class Assertion : uint8_t {
  kBeginText,
  kEndText,
  kBeginLine,  // At the begin of the text, or after a line feed.
  kEndLine,    // At the end of the text, or before a line feed.
  kWordBoundary,
  kNotWordBoundary,
};
inline constexpr size_t kAssertionCount = 6;

inline constexpr uint32_t kUnbounded = UINT32_MAX;

// Expression owns its nodes; children have lower numbers than their parents. A node may be used
// several times. One thread; a plain value otherwise.
class Expression {
 public:
  enum class Kind : uint8_t {
    kBytes,  // One byte of set(first). An empty set matches nothing.
    kAssertion,
    kConcat,     // children(): all of them in turn; none is the empty text.
    kAlternate,  // children(): one of them, at least one.
    kRepeat,     // Node `first`, `least` to `most` times.
  };
  struct Node {
    Kind kind = Kind::kConcat;
    Assertion assertion = Assertion::kBeginText;
    uint32_t first = 0;
    uint32_t last = 0;  // One past the last child.
    uint32_t least = 0;
    uint32_t most = 0;
  };
  using Id = uint32_t;

  Id Bytes(const ByteSet& set);
  Id Assert(Assertion assertion);
  Id Concat(std::span<const Id> parts);
  Id Concat(std::initializer_list<Id> parts) {
    return Concat(std::span(parts.begin(), parts.size()));
  }
  Id Alternate(std::span<const Id> choices);
  Id Alternate(std::initializer_list<Id> choices) {
    return Alternate(std::span(choices.begin(), choices.size()));
  }
  // Repeat takes least <= most; most may be kUnbounded.
  struct Count {
    uint32_t least = 0;
    uint32_t most = kUnbounded;
  };
  Id Repeat(Id part, Count count);
  Id Literal(std::string_view text);
  Id Empty() { return Concat(std::span<const Id>()); }
  Id AnyText() { return Repeat(Bytes(ByteSet::All()), {}); }

  const Node& node(Id id) const { return nodes_[id]; }
  std::span<const Id> children(const Node& node) const {
    return std::span(children_).subspan(node.first, node.last - node.first);
  }
  const ByteSet& set(uint32_t number) const { return sets_[number]; }
  const std::vector<ByteSet>& sets() const { return sets_; }
  size_t size() const { return nodes_.size(); }

  // The whole expression's node: the last one made, unless set_root says otherwise.
  Id root() const { return root_; }
  void set_root(Id id) { root_ = id; }

 private:
  struct SetHash {
    size_t operator()(const ByteSet& set) const { return set.Hash(); }
  };
  Id Add(const Node& node);
  Id AddParent(Kind kind, std::span<const Id> parts);
  std::vector<Node> nodes_;
  std::vector<Id> children_;
  std::vector<ByteSet> sets_;
  std::unordered_map<ByteSet, uint32_t, SetHash> set_numbers_;
  Id root_ = 0;
};

}  // namespace countersign::authz::language
