#include "authz/language/expression.h"

#include "base/status.h"

namespace countersign::authz::language {

Expression::Id Expression::Add(const Node& node) {
  nodes_.push_back(node);
  root_ = static_cast<Id>(nodes_.size() - 1);
  return root_;
}

Expression::Id Expression::AddParent(Kind kind, std::span<const Id> parts) {
  Node node;
  node.kind = kind;
  node.first = static_cast<uint32_t>(children_.size());
  children_.insert(children_.end(), parts.begin(), parts.end());
  node.last = static_cast<uint32_t>(children_.size());
  return Add(node);
}

Expression::Id Expression::Bytes(const ByteSet& set) {
  auto [found, inserted] = set_numbers_.try_emplace(set, static_cast<uint32_t>(sets_.size()));
  if (inserted) {
    sets_.push_back(set);
  }
  Node node;
  node.kind = Kind::kBytes;
  node.first = found->second;
  return Add(node);
}

Expression::Id Expression::Assert(Assertion assertion) {
  Node node;
  node.kind = Kind::kAssertion;
  node.assertion = assertion;
  return Add(node);
}

Expression::Id Expression::Concat(std::span<const Id> parts) {
  return parts.size() == 1 ? root_ = parts[0] : AddParent(Kind::kConcat, parts);
}

Expression::Id Expression::Alternate(std::span<const Id> choices) {
  CHECK(!choices.empty());
  return choices.size() == 1 ? root_ = choices[0] : AddParent(Kind::kAlternate, choices);
}

Expression::Id Expression::Repeat(Id part, Count count) {
  CHECK(count.least <= count.most);
  Node node;
  node.kind = Kind::kRepeat;
  node.first = part;
  node.least = count.least;
  node.most = count.most;
  return Add(node);
}

Expression::Id Expression::Literal(std::string_view text) {
  std::vector<Id> bytes;
  bytes.reserve(text.size());
  for (char c : text) {
    bytes.push_back(Bytes(ByteSet::Of(static_cast<uint8_t>(c))));
  }
  return Concat(bytes);
}

}  // namespace countersign::authz::language
