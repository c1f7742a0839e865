#include "authz/engine/required_literals.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace countersign::authz::engine {
namespace {

using language::ByteSet;
using language::Expression;

// More bytes than this in one place make no literals.
constexpr size_t kBytesMax = 4;

char Lower(size_t byte) {
  return static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
}

// Known is what is known of a part's matches.
struct Known {
  // Exactly these texts, in lower case; nothing if there are too many.
  std::optional<std::vector<std::string>> exact;
  std::vector<LiteralChoice> choices;  // If not exact.
};

size_t Shortest(const LiteralChoice& choice) {
  size_t shortest = SIZE_MAX;
  for (const std::string& literal : choice) {
    shortest = std::min(shortest, literal.size());
  }
  return shortest;
}

void KeepIfUseful(std::vector<LiteralChoice>& choices, const std::vector<std::string>& texts) {
  if (!texts.empty() && Shortest(texts) > 0) {
    choices.push_back(texts);
  }
}

Known OfBytes(const ByteSet& set) {
  std::vector<std::string> texts;
  for (size_t byte = 0; byte < 256; ++byte) {
    if (set.Contains(static_cast<uint8_t>(byte))) {
      texts.emplace_back(1, Lower(byte));
    }
  }
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (texts.size() > kBytesMax) {
    return {};
  }
  return {.exact = std::move(texts), .choices = {}};
}

Known Of(const Expression& expression, Expression::Id id);

// Texts of `left` followed by texts of `right`, if they are few and short enough.
std::optional<std::vector<std::string>> Product(const std::vector<std::string>& left,
                                                const std::vector<std::string>& right) {
  if (left.size() * right.size() > kRequiredLiteralsMax) {
    return std::nullopt;
  }
  std::vector<std::string> product;
  for (const std::string& begin : left) {
    for (const std::string& end : right) {
      if (begin.size() + end.size() > kRequiredLiteralBytesMax) {
        return std::nullopt;
      }
      product.push_back(begin + end);
    }
  }
  return product;
}

Known OfConcat(const Expression& expression, const Expression::Node& node) {
  Known known;
  std::vector<std::string> run = {""};
  bool broken = false;
  for (Expression::Id child : expression.children(node)) {
    Known part = Of(expression, child);
    if (part.exact) {
      if (auto longer = Product(run, *part.exact)) {
        run = std::move(*longer);
        continue;
      }
      KeepIfUseful(known.choices, run);
      run = std::move(*part.exact);
    } else {
      KeepIfUseful(known.choices, run);
      std::move(part.choices.begin(), part.choices.end(), std::back_inserter(known.choices));
      run = {""};
    }
    broken = true;
  }
  if (!broken) {
    return {.exact = std::move(run), .choices = {}};
  }
  KeepIfUseful(known.choices, run);
  return known;
}

Known OfAlternate(const Expression& expression, const Expression::Node& node) {
  std::vector<std::string> all;
  bool exact = true;
  bool useful = true;
  for (Expression::Id child : expression.children(node)) {
    Known part = Of(expression, child);
    exact = exact && part.exact.has_value();
    if (part.exact) {
      all.insert(all.end(), part.exact->begin(), part.exact->end());
    } else if (!part.choices.empty()) {
      auto best = std::max_element(
          part.choices.begin(), part.choices.end(),
          [](const LiteralChoice& a, const LiteralChoice& b) { return Shortest(a) < Shortest(b); });
      all.insert(all.end(), best->begin(), best->end());
    } else {
      useful = false;
    }
    if (!useful || all.size() > kRequiredLiteralsMax) {
      return {};
    }
  }
  if (exact) {
    return {.exact = std::move(all), .choices = {}};
  }
  Known known;
  KeepIfUseful(known.choices, all);
  return known;
}

Known OfRepeat(const Expression& expression, const Expression::Node& node) {
  Known part = Of(expression, node.first);
  if (node.least == 1 && node.most == 1) {
    return part;
  }
  if (node.least == 0) {
    if (node.most == 1 && part.exact && part.exact->size() < kRequiredLiteralsMax) {
      part.exact->emplace_back();
      return part;
    }
    return {};
  }
  if (part.exact) {  // At least once, and perhaps again.
    KeepIfUseful(part.choices, *part.exact);
    part.exact.reset();
  }
  return part;
}

Known Of(const Expression& expression, Expression::Id id) {
  const Expression::Node& node = expression.node(id);
  switch (node.kind) {
    case Expression::Kind::kBytes:
      return OfBytes(expression.set(node.first));
    case Expression::Kind::kAssertion:
      return {.exact = std::vector<std::string>{""}, .choices = {}};
    case Expression::Kind::kConcat:
      return OfConcat(expression, node);
    case Expression::Kind::kAlternate:
      return OfAlternate(expression, node);
    case Expression::Kind::kRepeat:
      break;
  }
  return OfRepeat(expression, node);
}

}  // namespace

std::vector<LiteralChoice> RequiredLiterals(const language::Expression& expression) {
  Known known = Of(expression, expression.root());
  if (known.exact) {
    KeepIfUseful(known.choices, *known.exact);
  }
  return known.choices;
}

}  // namespace countersign::authz::engine
